{{/* What the values come to: this chart's own, and those that bitnami/etcd's chart calls otherwise. It renders no object. */}}

{{/* The settings of TLS for one side as YAML. (dict "own" .Values.tls.SIDE "other" .Values.auth.SIDE "name" "auth.SIDE") */}}
{{- define "almadia.tls" -}}
{{- $other := default (dict) .other -}}
{{- $secret := .own.existingSecret -}}
{{- $require := .own.requireClientCertificate -}}
{{- $files := dict "cert" .own.certFile "key" .own.keyFile "ca" .own.caFile -}}
{{- if or $other.secureTransport $other.useAutoTLS -}}
{{- if $other.useAutoTLS }}{{ fail (printf "%s.useAutoTLS: make certificates first (almadia cert, or cert-manager) and name their Secret in %s.existingSecret" .name .name) }}{{ end -}}
{{- $secret = required (printf "%s.existingSecret is needed: %s.secureTransport is on" .name .name) $other.existingSecret -}}
{{- $require = default false $other.enableAuthentication -}}
{{- $files = dict "cert" (default "tls.crt" $other.certFilename) "key" (default "tls.key" $other.certKeyFilename) "ca" (default "ca.crt" $other.caFilename) -}}
{{- end -}}
{{- toYaml (dict "secret" $secret "require" $require "files" $files) -}}
{{- end -}}

{{- define "almadia.tls.client" -}}
{{- include "almadia.tls" (dict "own" .Values.tls.client "other" .Values.auth.client "name" "auth.client") -}}
{{- end -}}

{{- define "almadia.tls.peer" -}}
{{- include "almadia.tls" (dict "own" .Values.tls.peer "other" .Values.auth.peer "name" "auth.peer") -}}
{{- end -}}

{{/* How many members found the cluster. */}}
{{- define "almadia.size" -}}
{{- if kindIs "invalid" .Values.raft.peers.size }}{{ int .Values.replicaCount }}{{ else }}{{ int .Values.raft.peers.size }}{{ end -}}
{{- end -}}

{{/* Who says how many there are to be, as the server wants it. */}}
{{- define "almadia.wishedSize" -}}
{{- if eq .Values.raft.wishedSize "file" }}file:/etc/almadia/size/wished-size{{ else }}{{ .Values.raft.wishedSize }}{{ end -}}
{{- end -}}

{{/* The URL of the client Service, from inside the cluster. */}}
{{- define "almadia.endpoint" -}}
{{- $tls := include "almadia.tls.client" . | fromYaml -}}
{{ if $tls.secret }}https{{ else }}http{{ end }}://{{ include "almadia.fullname" . }}:{{ int .Values.service.ports.client }}
{{- end -}}

{{/* The URL of every member, which a test that asks each one needs: by the whole name, as in the members' certificates. POD_NAMESPACE
must stand before it in the environment. */}}
{{- define "almadia.endpoints" -}}
{{- $tls := include "almadia.tls.client" . | fromYaml -}}
{{- $scheme := ternary "https" "http" (not (empty $tls.secret)) -}}
{{- $urls := list -}}
{{- range $ordinal := until (int .Values.replicaCount) -}}
{{- $urls = append $urls (printf "%s://%s-%d.%s.$(POD_NAMESPACE).svc.%s:%d" $scheme (include "almadia.fullname" $) $ordinal (include "almadia.peers" $) $.Values.clusterDomain (int $.Values.containerPorts.client)) -}}
{{- end -}}
{{ join "," $urls }}
{{- end -}}

{{/* What cannot be meant, each in one line that says where. */}}
{{- define "almadia.refusals" -}}
{{- $size := include "almadia.size" . | int -}}
{{- $replicas := int .Values.replicaCount -}}
{{- if and (gt $size $replicas) (gt $replicas 0) -}}
{{- fail (printf "raft.peers.size is %d and replicaCount %d: members that do not run cannot found the cluster" $size $replicas) -}}
{{- end -}}
{{- if and (eq .Values.raft.wishedSize "fixed") (ne $size $replicas) (gt $replicas 0) -}}
{{- fail (printf "raft.wishedSize is fixed, raft.peers.size %d and replicaCount %d: make them equal, or let the StatefulSet say the size" $size $replicas) -}}
{{- end -}}
{{- with .Values.raft.peers.pattern -}}
{{- if ne (len (regexFindAll "%d" . -1)) 1 }}{{ fail (printf "raft.peers.pattern is %q: %%d must stand in it once, as in http://almadia-%%d.almadia-peers:2380" .) }}{{ end -}}
{{- end -}}
{{- if contains "bitnami" .Values.image.repository -}}
{{- fail (printf "image.repository is %q: this chart runs Almadia; leave the image's values out" .Values.image.repository) -}}
{{- end -}}
{{- $rbac := default (dict) .Values.auth.rbac -}}
{{- if or $rbac.rootPassword $rbac.existingSecret -}}
{{- fail "auth.rbac: users are not made by the chart, and a store without them would be open; leave it out and see docs/guides/users.md" -}}
{{- end -}}
{{- if or .Values.autoCompactionMode .Values.autoCompactionRetention -}}
{{- if not (and .Values.autoCompactionMode .Values.autoCompactionRetention) }}{{ fail "autoCompactionMode and autoCompactionRetention go together: set both or neither" }}{{ end -}}
{{- end -}}
{{- $_ := include "almadia.tls.client" . -}}
{{- $_ = include "almadia.tls.peer" . -}}
{{- end -}}
