{{/* What every pod of ours has in common. */}}

{{/* The pod's own settings: {root, component, user?}. */}}
{{- define "soloist.pod" -}}
serviceAccountName: {{ .root.Release.Name }}-{{ .component }}
automountServiceAccountToken: {{ and (eq .component "keeper") .root.Values.keeper.deletionCost }}
# Kubernetes would add variables named after services, and unknown SOLOIST_* ones stop a start.
enableServiceLinks: false
securityContext:
  {{- $ours := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
  {{- mergeOverwrite (deepCopy (.user | default .root.Values.podSecurityContext | default dict)) $ours | toYaml | nindent 2 }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "soloist.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
# Why a container ended stays in the pod's status, also when its log is gone or may not be read.
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{/* Where a pod without a GPU may run; `values` are its part of the values. */}}
{{- define "soloist.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $ $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Spread over nodes and zones where there are several: {root, component}. */}}
{{- define "soloist.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "soloist.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Environment that comes from maps of the values. toJson, as toString would write 10000000 as 1e+07. */}}
{{- define "soloist.extraEnv" -}}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- range $name, $from := .envFromSecrets }}
- name: {{ $name | quote }}
  valueFrom: {secretKeyRef: {name: {{ $from.name | quote }}, key: {{ $from.key | quote }}}}
{{- end }}
{{- end }}

{{- define "soloist.probe" -}}
httpGet: {path: {{ . }}, port: http}
{{- end }}
