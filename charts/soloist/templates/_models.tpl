{{/* The models that are served, each merged over `defaults`, with all that follows from its values. */}}

{{/* A map by name, as JSON. `models.<name>` wins over `defaults`, `models.<name>.gpu` over `gpu`. */}}
{{- define "soloist.models" -}}
{{- $models := dict }}
{{- range $name, $own := .Values.models | default .Values.demo }}
  {{- $model := mergeOverwrite (deepCopy $.Values.defaults) (deepCopy ($own | default dict)) }}
  {{- $_ := set $model "name" $name }}
  {{- $_ := set $model "gpu" (mergeOverwrite (deepCopy $.Values.gpu) $model.gpu) }}
  {{- /* What null has taken away from the defaults is empty. */}}
  {{- range $key := list "affinity" "podLabels" "podAnnotations" "resources" }}{{ $_ := set $model $key (get $model $key | default dict) }}{{ end }}
  {{- range $holder := list $model $model.gpu }}{{ $_ := set $holder "tolerations" (get $holder "tolerations" | default list) }}{{ end }}
  {{- range $key := list "warm" "extraTriggers" }}{{ $_ := set $model.scaling $key (get $model.scaling $key | default dict) }}{{ end }}
  {{- if not $model.catalog.device }}
    {{- $_ := set $model.catalog "device" (ternary "cpu" "cuda" (eq $model.gpu.mode "none")) }}
  {{- end }}
  {{- /* As in the catalog's own defaults. */}}
  {{- $timeout := $model.catalog.timeout_seconds | default 300 | float64 }}
  {{- $_ := set $model "timeout" $timeout }}
  {{- $_ := set $model "grace" ($model.terminationGracePeriodSeconds | default (add 30 (ceil $timeout)) | int) }}
  {{- $_ := set $model "target" ($model.scaling.target | default $model.catalog.scaling_target | default ($model.catalog.max_batch_size | default 32)) }}
  {{- $_ := set $model "fetches" (and $model.hub.fetch (include "soloist.onHub" $model) (ne $model.cache.type "image") | not | not) }}
  {{- if $model.enabled }}{{ $_ := set $models $name $model }}{{ end }}
{{- end }}
{{- toJson $models }}
{{- end }}

{{/* Not empty when the source is a Hugging Face id: no folder, no Python package. */}}
{{- define "soloist.onHub" -}}
{{- with .catalog.source }}{{ if not (regexMatch "^([./~]|package:)" .) }}yes{{ end }}{{ end }}
{{- end }}

{{/* The catalog file of these models. As JSON, which is YAML too: toYaml would write 10000000 as 1e+07. */}}
{{- define "soloist.wholeCatalog" -}}
{{- $entries := dict }}
{{- range $name, $model := . }}{{ $_ := set $entries $name (merge (dict "scaling_target" $model.target) $model.catalog) }}{{ end }}
{{- dict "models" $entries | toPrettyJson }}
{{- end }}

{{/* The catalog of a model's worker, without what no worker reads (contract/catalog.py): a change of that restarts
     none. */}}
{{- define "soloist.workerCatalog" -}}
{{- $entry := omit .catalog "description" "max_queue" "result_ttl_seconds" "scaling_target" "cost_per_hour" }}
{{- dict "models" (dict .name $entry) | toPrettyJson }}
{{- end }}

{{/* What a gateway reads of the catalog, of which its pods bear the checksum. */}}
{{- define "soloist.gatewayCatalog" -}}
{{- $entries := dict }}
{{- range $name, $model := . }}{{ $_ := set $entries $name (omit $model.catalog "device" "max_batch_tokens" "timeout_seconds" "max_output_bytes" "scaling_target" "cost_per_hour") }}{{ end }}
{{- toJson $entries }}
{{- end }}

{{/* What a keeper reads of it. */}}
{{- define "soloist.keeperCatalog" -}}
{{- $entries := dict }}
{{- range $name, $model := . }}{{ $_ := set $entries $name (omit (merge (dict "scaling_target" $model.target) $model.catalog) "description" "result_ttl_seconds" "device" "max_batch_tokens" "timeout_seconds" "max_output_bytes" "input_schema" "output_schema") }}{{ end }}
{{- toJson $entries }}
{{- end }}

{{/* The resource that a worker asks for as its device; empty for a CPU and for DRA. */}}
{{- define "soloist.gpuResource" -}}
{{- $names := dict "devicePlugin" "nvidia.com/gpu" "mig" "nvidia.com/mig-1g.10gb" "shared" "nvidia.com/gpu.shared" }}
{{- if hasKey $names .gpu.mode }}{{ .gpu.resource | default (get $names .gpu.mode) }}{{ end }}
{{- end }}

{{/* The resources of a container that holds the model's device. */}}
{{- define "soloist.gpuResources" -}}
{{- $resources := deepCopy .resources }}
{{- with include "soloist.gpuResource" .model }}
  {{- range $side := list "requests" "limits" }}
    {{- $_ := set $resources $side (merge (dict (include "soloist.gpuResource" $.model) "1") (get $resources $side | default dict)) }}
  {{- end }}
{{- end }}
{{- if eq .model.gpu.mode "dra" }}{{ $_ := set $resources "claims" (list (dict "name" "gpu")) }}{{ end }}
{{- toYaml $resources }}
{{- end }}

{{/* Where pods of this model may run: {root, model}. Its placeholders and pre-pulls go there too. */}}
{{- define "soloist.gpuPlacement" -}}
{{- $model := .model }}
{{- $gpu := ne $model.gpu.mode "none" }}
{{- if and $gpu $model.gpu.runtimeClassName }}
runtimeClassName: {{ $model.gpu.runtimeClassName | quote }}
{{- end }}
{{- with $model.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $model.tolerations (ternary $model.gpu.tolerations list $gpu) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy $model.affinity }}
{{- if and $gpu $model.gpu.products }}
  {{- $product := dict "key" "nvidia.com/gpu.product" "operator" "In" "values" $model.gpu.products }}
  {{- /* Any one of the terms is enough for Kubernetes, so each has to ask for the product. */}}
  {{- $required := "requiredDuringSchedulingIgnoredDuringExecution" }}
  {{- $terms := list }}
  {{- range dig "nodeAffinity" $required "nodeSelectorTerms" (list dict) $affinity }}
    {{- $terms = append $terms (merge (dict "matchExpressions" (append (.matchExpressions | default list) $product)) .) }}
  {{- end }}
  {{- $affinity = mergeOverwrite $affinity (dict "nodeAffinity" (dict $required (dict "nodeSelectorTerms" $terms))) }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
