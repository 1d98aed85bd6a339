{{/* Passwords that the chart makes up for the stores that it bundles. */}}

{{/* {root, name, key}: the password in the cluster, or a new one. */}}
{{- define "soloist.madeUp" -}}
{{- $found := (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict }}
{{- get $found .key | default (randAlphaNum 32 | b64enc) }}
{{- end }}

{{/* Whether the kinds are those of a cluster: Helm's own list has versions only, as in `v1` and not `v1/Pod`. */}}
{{- define "soloist.seesCluster" -}}
{{- if .Capabilities.APIVersions.Has "v1/Pod" }}yes{{ end }}
{{- end }}

{{/* A look-up finds nothing outside of a cluster, so there each render makes up another password. */}}
{{- define "soloist.madeUpOffline" -}}
{{- if not (include "soloist.seesCluster" .) }}
annotations:
  soloist/password: >-
    made up by a render outside of a cluster, and another one in each render: do not apply it over an install;
    set secrets.generate to false and make this Secret yourself
{{- end }}
{{- end }}

{{/* {root, name, keys}: with `secrets.generate: false` the Secret must be there already. */}}
{{- define "soloist.guardSecret" -}}
{{- $namespace := .root.Release.Namespace }}
{{- $found := lookup "v1" "Secret" $namespace .name }}
{{- $literals := list }}
{{- range .keys }}{{ $literals = append $literals (printf "--from-literal=%s=..." .) }}{{ end }}
{{- if $found }}
  {{- $owner := get ($found.metadata.annotations | default dict) "meta.helm.sh/release-name" }}
  {{- if and (eq $owner .root.Release.Name) (ne "keep" (get $found.metadata.annotations "helm.sh/resource-policy")) }}
    {{- fail (printf "secrets.generate: the Secret %s was made by this release, and without it would be deleted with its password; first keep it: kubectl annotate secret %s --namespace %s helm.sh/resource-policy=keep" .name .name $namespace) }}
  {{- end }}
{{- else if lookup "v1" "ServiceAccount" $namespace "default" }}
  {{- /* Every namespace has that one: there is a cluster to look at. */}}
  {{- fail (printf "secrets.generate is false, and the Secret %s is missing: kubectl create secret generic %s --namespace %s %s" .name .name $namespace (join " " $literals)) }}
{{- end }}
{{- end }}
