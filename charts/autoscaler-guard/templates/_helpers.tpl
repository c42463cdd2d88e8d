{{/* Everything is called like this: one per cluster, as its webhook is asked about the whole of it. */}}
{{- define "guard.labels" -}}
app.kubernetes.io/name: autoscaler-guard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "guard.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- define "guard.secretName" -}}
{{ .Values.certificates.secretName | default "autoscaler-guard-tls" }}
{{- end }}

{{/* What does not go together is refused here, in plain words. */}}
{{- define "guard.check" -}}
{{- $source := .Values.certificates.source -}}
{{- if and (eq $source "existing") (not .Values.certificates.caBundle) -}}
{{- fail "certificates.source existing needs certificates.caBundle: whom API servers, or Gatekeeper, shall trust, in PEM format" -}}
{{- end -}}
{{- if and .Values.gatekeeper.enabled (eq $source "cert-manager") (not .Values.certificates.caBundle) -}}
{{- fail "cert-manager cannot make Gatekeeper trust its certificates: set certificates.caBundle, or certificates.source to self-managed" -}}
{{- end -}}
{{- if and .Values.gatekeeper.clientCA (not .Values.gatekeeper.enabled) -}}
{{- fail "gatekeeper.clientCA needs gatekeeper.enabled: API servers show no certificate" -}}
{{- end -}}
{{- if and (not .Values.gatekeeper.enabled) (.Values.settings).audit -}}
{{- fail "settings.audit is for Kubewarden's audit scanner: with it no change would be judged" -}}
{{- end -}}
{{- end }}

{{- /* Expressions, as the policy's own: what need not be asked about. */ -}}

{{- define "guard.quoted" -}}
'{{ . | replace "\\" "\\\\" | replace "'" "\\'" }}'
{{- end }}

{{- define "guard.regular" -}}
^{{ regexReplaceAll "[!\"#$%&'()+,.;<=>?\\[\\\\\\]^`{|}~]" . "\\${0}" | replace "*" ".*" }}$
{{- end }}

{{- define "guard.oneOf" -}}
{{- $names := list -}}
{{- range .names }}{{ $names = append $names (include "guard.quoted" .) }}{{ end -}}
{{ .what }} in [ {{ $names | join ", " }}]
{{- end }}

{{/* Whether a name matches any of the patterns; nothing where there is none. */}}
{{- define "guard.matches" -}}
{{- $what := .what -}}
{{- $plain := list -}}
{{- $tests := list -}}
{{- range .patterns -}}
{{- if contains "*" . -}}
{{- $tests = append $tests (printf "%s.matches(%s)" $what (include "guard.quoted" (include "guard.regular" .))) -}}
{{- else -}}
{{- $plain = append $plain . -}}
{{- end -}}
{{- end -}}
{{- if $plain }}{{ $tests = prepend $tests (include "guard.oneOf" (dict "what" $what "names" $plain)) }}{{ end -}}
{{ $tests | join " || " }}
{{- end }}

{{/* Who need not ask, as the settings say or by default: a JSON object of lists. */}}
{{- define "guard.accounts" -}}
{{- $known := (.Files.Get "files/policy.json" | fromJson).accounts -}}
{{- $settings := .Values.settings | default dict -}}
{{- $controllers := $settings.controllers | default dict -}}
{{- $exempt := $settings.exempt | default dict -}}
{{- $gateway := $settings.envoyGateway | default dict -}}
{{- $keda := $known.keda -}}
{{- if not (kindIs "invalid" $controllers.keda) }}{{ $keda = $controllers.keda }}{{ end -}}
{{- $envoy := $known.envoyGateway -}}
{{- if not (kindIs "invalid" $controllers.envoyGateway) -}}
{{- $envoy = $controllers.envoyGateway -}}
{{- else -}}
{{- $account := printf "system:serviceaccount:%s:envoy-gateway" ($gateway.namespace | default $known.envoyGatewayNamespace) -}}
{{- if not (has $account $envoy) }}{{ $envoy = append $envoy $account }}{{ end -}}
{{- end -}}
{{ dict "kubernetes" $known.kubernetes "keda" $keda "envoy" $envoy "users" ($exempt.users | default list) "groups" ($exempt.groups | default list) | toJson }}
{{- end }}

{{/* The groups that setting declarations names, each with the kinds of it that are of interest: a JSON object. */}}
{{- define "guard.declared" -}}
{{- $facts := .Files.Get "files/policy.json" | fromJson -}}
{{- $groups := dict -}}
{{- range (.Values.settings | default dict).declarations -}}
{{- $group := "" -}}
{{- if contains "/" .apiVersion }}{{ $group = .apiVersion | splitList "/" | first }}{{ end -}}
{{- $kinds := get $groups $group | default list -}}
{{- range $facts.kinds }}{{ if eq .group $group }}{{ $kinds = append $kinds .kind }}{{ end }}{{ end -}}
{{- $_ := set $groups $group (append $kinds .kind | uniq | sortAlpha) -}}
{{- end -}}
{{ $groups | toJson }}
{{- end }}

{{/* The webhook's matchConditions. */}}
{{- define "guard.conditions" -}}
{{- $facts := .Files.Get "files/policy.json" | fromJson -}}
{{- $accounts := include "guard.accounts" . | fromJson -}}
{{- $declared := include "guard.declared" . | fromJson -}}
{{- $user := "request.userInfo.username" -}}
{{- $conditions := list -}}
{{- if $declared -}}
{{- $only := list -}}
{{- range $group := keys $declared | sortAlpha -}}
{{- $only = append $only (printf "(request.kind.group != %s || %s)" (include "guard.quoted" $group) (include "guard.oneOf" (dict "what" "request.kind.kind" "names" (get $declared $group)))) -}}
{{- end -}}
{{- $conditions = append $conditions (dict "name" "of-a-kind-that-is-declared" "expression" ($only | join " && ")) -}}
{{- end -}}
{{- $exempt := list (include "guard.oneOf" (dict "what" $user "names" $accounts.kubernetes)) -}}
{{- range list $accounts.envoy $accounts.users -}}
{{- with include "guard.matches" (dict "what" $user "patterns" .) }}{{ $exempt = append $exempt . }}{{ end -}}
{{- end -}}
{{- with include "guard.matches" (dict "what" "group" "patterns" $accounts.groups) -}}
{{- $exempt = append $exempt (printf "has(request.userInfo.groups) && request.userInfo.groups.exists(group, %s)" .) -}}
{{- end -}}
{{- $conditions = append $conditions (dict "name" "not-exempt" "expression" (printf "!(%s)" ($exempt | join " || "))) -}}
{{- with include "guard.matches" (dict "what" $user "patterns" $accounts.keda) -}}
{{- $conditions = append $conditions (dict "name" "not-keda" "expression" (printf "!(%s) || %s" . $facts.expressions.released)) -}}
{{- end -}}
{{- $conditions = append $conditions (dict "name" "not-terminating" "expression" $facts.expressions.notTerminating) -}}
{{- $elsewhere := list -}}
{{- range (.Values.settings | default dict).declarations -}}
{{- if not (hasPrefix "/spec/" .pointer) }}{{ $elsewhere = append $elsewhere .kind }}{{ end -}}
{{- end -}}
{{- $touches := $facts.expressions.touches -}}
{{- if $elsewhere }}{{ $touches = printf "%s || %s" (include "guard.oneOf" (dict "what" "request.kind.kind" "names" $elsewhere)) $touches }}{{ end -}}
{{- $conditions = append $conditions (dict "name" "touches-what-counts" "expression" $touches) -}}
{{ $conditions | toYaml }}
{{- end }}
