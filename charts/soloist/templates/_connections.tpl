{{/* How the pods and KEDA reach the ledger and the broker. */}}

{{- define "soloist.ledgerSecret" -}}
{{- .Values.ledger.existingSecret | default (eq .Values.ledger.mode "bundled" | ternary (printf "%s-ledger" .Release.Name) "") }}
{{- end }}

{{/* {addresses, scheme, path, database, username, tls, sentinel} of the ledger, as JSON; `sentinel` is the service's name
     where the addresses are those of sentinels, and empty where there is one, of the Redis itself. */}}
{{- define "soloist.ledger" -}}
{{- $external := .Values.ledger.external }}
{{- if eq .Values.ledger.mode "bundled" }}
{{- dict "addresses" (list (printf "%s-ledger:6379" .Release.Name)) "scheme" "redis" "path" "0" "database" 0 "username" "" "tls" false "sentinel" "" | toJson }}
{{- else }}
{{- $service := $external.sentinel.service }}
{{- $addresses := $external.sentinel.addresses | default (list (printf "%s:%d" $external.host (int $external.port))) }}
{{- $scheme := printf "%s%s" (ternary "rediss" "redis" $external.tls.enabled) (ternary "+sentinel" "" (ne $service "")) }}
{{- $path := printf "%s%d" (ternary (printf "%s/" $service) "" (ne $service "")) (int $external.database) }}
{{- dict "addresses" $addresses "scheme" $scheme "path" $path "database" $external.database "username" $external.username "tls" $external.tls.enabled "sentinel" $service | toJson }}
{{- end }}
{{- end }}

{{/* A Secret with the sentinels' own password, if they have one. */}}
{{- define "soloist.sentinelSecret" -}}
{{- if eq .Values.ledger.mode "external" }}{{ .Values.ledger.external.sentinel.existingSecret }}{{ end }}
{{- end }}

{{- define "soloist.ledgerAuthority" -}}
{{- if and (eq .Values.ledger.mode "external") .Values.ledger.external.tls.enabled }}{{ .Values.ledger.external.tls.caSecret }}{{ end }}
{{- end }}

{{/* {url, secret, usernameKey, passwordKey, username} of a broker that is not the ledger's Redis, as JSON. */}}
{{- define "soloist.broker" -}}
{{- $own := printf "%s-broker" .Release.Name }}
{{- $broker := dict }}
{{- if eq .Values.broker.mode "bundled" }}
  {{- $broker = dict "secret" $own "usernameKey" "username" "passwordKey" "password" "scheme" "amqp" "host" $own "port" 5672 "path" "" }}
{{- else if eq .Values.broker.mode "operator" }}
  {{- $broker = dict "secret" (printf "%s-default-user" $own) "usernameKey" "username" "passwordKey" "password" "scheme" "amqp" "host" $own "port" 5672 "path" "" }}
{{- else if eq .Values.broker.mode "external" }}
  {{- $external := .Values.broker.external }}
  {{- $port := $external.port | default (get (dict "amqp" 5672 "amqps" 5671 "redis" 6379 "rediss" 6379) $external.scheme) }}
  {{- $broker = dict "secret" $external.existingSecret "usernameKey" $external.usernameKey "passwordKey" $external.passwordKey "username" $external.username "scheme" $external.scheme "host" $external.host "port" $port "path" $external.path }}
{{- end }}
{{- toJson $broker }}
{{- end }}

{{/* What a process needs to reach the ledger, but for an authority of its own (SSL_CERT_FILE): with that alone it would
     trust nobody else, and a container that fetches could not reach the hub. */}}
{{- define "soloist.ledgerEnv" -}}
{{- $ledger := include "soloist.ledger" . | fromJson -}}
- name: SOLOIST_CATALOG
  value: /etc/soloist/catalog.yaml
- name: SOLOIST_PREFIX
  value: {{ .Values.ledger.prefix | quote }}
- name: SOLOIST_DURABILITY
  value: {{ .Values.ledger.durability }}
- name: SOLOIST_REDIS_URL
  value: {{ printf "%s://%s/%s" $ledger.scheme (join "," $ledger.addresses) $ledger.path }}
{{- with $ledger.username }}
- name: SOLOIST_REDIS_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- with include "soloist.ledgerSecret" . }}
- name: SOLOIST_REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.ledger.passwordKey | quote }}}}
{{- end }}
{{- if $ledger.sentinel }}
{{- with .Values.ledger.external.sentinel.username }}
- name: SOLOIST_REDIS_SENTINEL_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- with include "soloist.sentinelSecret" . }}
- name: SOLOIST_REDIS_SENTINEL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.ledger.external.sentinel.passwordKey | quote }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* The settings that gateway, keeper and workers share. */}}
{{- define "soloist.env" -}}
{{- $broker := include "soloist.broker" . | fromJson -}}
{{ include "soloist.ledgerEnv" . }}
- name: SOLOIST_HOST
  value: 0.0.0.0
{{- with int .Values.ledger.replicas }}
- name: SOLOIST_LEDGER_REPLICAS
  value: {{ . | quote }}
{{- end }}
{{- with include "soloist.ledgerAuthority" . }}
- name: SSL_CERT_FILE
  value: /etc/soloist-authority/ca.crt
{{- end }}
{{- if $broker }}
- name: SOLOIST_BROKER_URL
  value: {{ printf "%s://%s:%d/%s" $broker.scheme $broker.host (int $broker.port) $broker.path }}
{{- if $broker.usernameKey }}
- name: SOLOIST_BROKER_USERNAME
  valueFrom: {secretKeyRef: {name: {{ $broker.secret | quote }}, key: {{ $broker.usernameKey | quote }}}}
{{- else if $broker.username }}
- name: SOLOIST_BROKER_USERNAME
  value: {{ $broker.username | quote }}
{{- end }}
{{- if $broker.secret }}
- name: SOLOIST_BROKER_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $broker.secret | quote }}, key: {{ $broker.passwordKey | quote }}}}
{{- end }}
{{- end }}
{{- with .Values.tracing.otlpEndpoint }}
- name: SOLOIST_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: SOLOIST_TRACE_RATIO
  value: {{ $.Values.tracing.ratio | quote }}
{{- end }}
{{- end }}

{{- define "soloist.mounts" -}}
- {name: catalog, mountPath: /etc/soloist, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- with include "soloist.ledgerAuthority" . }}
- {name: authority, mountPath: /etc/soloist-authority, readOnly: true}
{{- end }}
{{- end }}

{{/* {root, catalog: name of its ConfigMap}. */}}
{{- define "soloist.volumes" -}}
- name: catalog
  configMap: {name: {{ .catalog }}}
- name: tmp
  emptyDir: {}
{{- with include "soloist.ledgerAuthority" .root }}
- name: authority
  secret:
    secretName: {{ . | quote }}
    items: [{key: {{ $.root.Values.ledger.external.tls.caKey | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
