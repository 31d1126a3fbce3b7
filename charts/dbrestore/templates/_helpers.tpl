{{/* Name of the namespaced objects of a release. */}}
{{- define "dbrestore.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
Name of a cluster-scoped object, NAME[-PART].NAMESPACE, so that releases of the same name in two namespaces do not
meet. No namespace has a dot in its name.
*/}}
{{- define "dbrestore.clusterName" -}}
{{- $name := include "dbrestore.fullname" .root -}}
{{- if .part }}{{ $name = printf "%s-%s" $name .part }}{{ end -}}
{{- printf "%s.%s" $name .root.Release.Namespace -}}
{{- end -}}

{{- define "dbrestore.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dbrestore.labels" -}}
{{ include "dbrestore.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dbrestore.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* The operator is told this image, and its policy lets it use no other. */}}
{{- define "dbrestore.agentImage" -}}
{{- printf "%s:%s" .Values.agentImage.repository (.Values.agentImage.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* The name by which the API server knows the operator. */}}
{{- define "dbrestore.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "dbrestore.fullname" .) -}}
{{- end -}}

{{/*
Limits a policy to the watched namespaces. It stands in the policy, not in its binding, as a policy whose
paramKind is gone refuses all that it matches before it looks at any binding. So kube-system is left out even of a
cluster-wide release.
*/}}
{{- define "dbrestore.namespaceSelector" -}}
namespaceSelector:
{{- if .Values.clusterWide }}
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: [kube-system]
{{- else }}
  matchLabels:
    kubernetes.io/metadata.name: {{ .Release.Namespace }}
{{- end }}
{{- end -}}
