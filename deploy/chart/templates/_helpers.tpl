{{/* Names, labels and the pieces that several objects share. Other templates of this chart build on these names:
almadia.fullname, almadia.peers, almadia.labels, almadia.selectorLabels, almadia.annotations, almadia.image, almadia.object. */}}

{{- define "almadia.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the StatefulSet, the client Service and most others; at most 50 characters, so that "-peers-…" still fits. */}}
{{- define "almadia.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "almadia.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "almadia.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The headless Service, in which the members find each other. */}}
{{- define "almadia.peers" -}}{{ include "almadia.fullname" . }}-peers{{- end -}}

{{- define "almadia.selectorLabels" -}}
app.kubernetes.io/name: {{ include "almadia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: member
{{- end -}}

{{/* Labels of every object; the component is the object's own. */}}
{{- define "almadia.labels" -}}
app.kubernetes.io/name: {{ include "almadia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* annotations: of the values merged with the given one, or nothing. (dict "root" $ "own" map) */}}
{{- define "almadia.annotations" -}}
{{- $all := merge (dict) (default (dict) .own) .root.Values.commonAnnotations -}}
{{- with $all }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's whole name. (dict "root" $ "repository" text "tag" text "digest" text) */}}
{{- define "almadia.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $version := printf ":%s" (default .root.Chart.AppVersion .tag) -}}
{{- if .digest }}{{ $version = printf "@%s" .digest }}{{ end -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .repository }}{{ $version }}
{{- end -}}

{{- define "almadia.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "almadia.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Prints an object's text, with the patches of the values that name its kind (and, if they say so, its name) merged in.
(dict "root" $ "text" text) */}}
{{- define "almadia.object" -}}
{{- $wanted := .root.Values.patches -}}
{{- if not $wanted -}}
{{ .text }}
{{- else -}}
{{- $object := fromYaml .text -}}
{{- if hasKey $object "Error" }}{{ fail (printf "a template is no YAML: %s" $object.Error) }}{{ end -}}
{{- range $wanted -}}
{{- if and (eq .kind $object.kind) (or (not .name) (eq .name $object.metadata.name)) -}}
{{- $object = mergeOverwrite $object (deepCopy .patch) -}}
{{- end -}}
{{- end -}}
{{ toYaml $object }}
{{- end -}}
{{- end -}}

{{/* The pod's security context; OpenShift gives users and groups itself. */}}
{{- define "almadia.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if .Values.openshift.enabled }}{{ $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}{{ end -}}
{{- toYaml $context -}}
{{- end -}}
