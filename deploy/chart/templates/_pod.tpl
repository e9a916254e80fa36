{{/* The pod of a member, and of what looks at members. */}}

{{- define "almadia.args" -}}
{{- $client := include "almadia.tls.client" . | fromYaml -}}
{{- $peer := include "almadia.tls.peer" . | fromYaml -}}
- server
- --data-dir={{ .Values.raft.dataStoragePath }}/data
{{- if .Values.raft.peers.pattern }}
- --peer-pattern={{ .Values.raft.peers.pattern }}
- --listen-peer-urls={{ ternary "https" "http" (not (empty $peer.secret)) }}://[::]:{{ int .Values.raft.peers.port }}
{{- else }}
- --peer-port={{ int .Values.raft.peers.port }}
{{- end }}
- --wished-size={{ include "almadia.wishedSize" . }}
{{- if .Values.raft.group }}
- --group={{ .Values.raft.group }}
{{- end }}
- --initial-cluster-token={{ default (printf "$(POD_NAMESPACE)/%s" (include "almadia.fullname" .)) .Values.raft.token }}
- --election-timeout={{ int .Values.raft.electionTimeout }}
- --heartbeat-interval={{ int .Values.raft.heartbeatInterval }}
- --listen-client-urls={{ ternary "https" "http" (not (empty $client.secret)) }}://[::]:{{ int .Values.containerPorts.client }}
- --listen-metrics-urls=http://[::]:{{ int .Values.containerPorts.metrics }}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- if .Values.autoCompactionMode }}
- --auto-compaction-mode={{ .Values.autoCompactionMode }}
- --auto-compaction-retention={{ .Values.autoCompactionRetention }}
{{- end }}
{{- with .Values.quotaBackendBytes }}
- --quota-backend-bytes={{ int64 . }}
{{- end }}
{{- if .Values.faultInjection.enabled }}
- --enable-fault-injection
{{- end }}
{{- if $client.secret }}
- --cert-file=/etc/almadia/tls/client/{{ $client.files.cert }}
- --key-file=/etc/almadia/tls/client/{{ $client.files.key }}
{{- if $client.require }}
- --trusted-ca-file=/etc/almadia/tls/client/{{ $client.files.ca }}
- --client-cert-auth
{{- end }}
{{- end }}
{{- if $peer.secret }}
- --peer-cert-file=/etc/almadia/tls/peer/{{ $peer.files.cert }}
- --peer-key-file=/etc/almadia/tls/peer/{{ $peer.files.key }}
- --peer-trusted-ca-file=/etc/almadia/tls/peer/{{ $peer.files.ca }}
{{- if $peer.require }}
- --peer-client-cert-auth
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A member's identity: its own name, its namespace, the domain of the headless Service, and how many found the cluster. The
number comes from a ConfigMap so that another size does not change the pods' template and restart them all. */}}
{{- define "almadia.env" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
{{- if not .Values.raft.peers.pattern }}
- name: ALMADIA_PEER_DOMAIN
  value: {{ include "almadia.peers" . }}.$(POD_NAMESPACE).svc.{{ .Values.clusterDomain }}
{{- end }}
- name: ALMADIA_CLUSTER_SIZE
  valueFrom: { configMapKeyRef: { name: {{ include "almadia.fullname" . }}-size, key: cluster-size } }
{{- with .Values.extraEnvVars }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "almadia.affinity" -}}
{{- if .Values.affinity -}}
{{ toYaml .Values.affinity }}
{{- else if eq .Values.podAntiAffinityPreset "hard" -}}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "almadia.selectorLabels" . | nindent 10 }}
{{- else if eq .Values.podAntiAffinityPreset "soft" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "almadia.selectorLabels" . | nindent 12 }}
{{- end -}}
{{- end -}}

{{/* How `helm test` and the toolbox reach members that want TLS. */}}
{{- define "almadia.clientEnv" -}}
{{- $tls := include "almadia.tls.client" . | fromYaml -}}
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: ALMADIA_ENDPOINTS
  value: {{ include "almadia.endpoints" . }}
{{- if $tls.secret }}
- name: ETCDCTL_CACERT
  value: /etc/almadia/tls/client/{{ $tls.files.ca }}
{{- if $tls.require }}
- name: ETCDCTL_CERT
  value: /etc/almadia/tls/client/{{ $tls.files.cert }}
- name: ETCDCTL_KEY
  value: /etc/almadia/tls/client/{{ $tls.files.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "almadia.clientVolumes" -}}
{{- $tls := include "almadia.tls.client" . | fromYaml -}}
{{- if $tls.secret -}}
volumes:
  - name: client-tls
    secret: { secretName: {{ default $tls.secret .Values.tls.client.testSecret }} }
{{- end -}}
{{- end -}}

{{- define "almadia.clientVolumeMounts" -}}
{{- $tls := include "almadia.tls.client" . | fromYaml -}}
{{- if $tls.secret -}}
volumeMounts:
  - { name: client-tls, mountPath: /etc/almadia/tls/client, readOnly: true }
{{- end -}}
{{- end -}}
