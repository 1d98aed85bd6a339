{{/* Names and labels. The release's name begins every object's name. */}}

{{- define "soloist.worker" -}}
{{ .root.Release.Name }}-worker-{{ .model.name }}
{{- end }}

{{/* Labels that select: {root, component, model?}. They never change, so no version is in them. */}}
{{- define "soloist.selector" -}}
app.kubernetes.io/name: soloist
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .model }}
soloist/model: {{ .name | quote }}
{{- end }}
{{- end }}

{{/* Labels of an object, never of a pod: the chart's version in a pod template would restart every pod. */}}
{{- define "soloist.labels" -}}
{{ include "soloist.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The metadata of a pod template: {root, component, model?, values, checksum?}. */}}
{{- define "soloist.podMetadata" -}}
labels:
  {{- include "soloist.selector" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .checksum .values.podAnnotations }}
annotations:
  {{- with .checksum }}
  checksum/catalog: {{ . }}
  {{- end }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* One of our own two images: {root, image}. */}}
{{- define "soloist.image" -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}
