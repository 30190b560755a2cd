{{- define "celeste.name" -}}
{{- if contains "celeste" .Release.Name }}{{ .Release.Name | trunc 54 | trimSuffix "-" }}{{ else }}{{ printf "%s-celeste" .Release.Name | trunc 54 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "celeste.selector" -}}
app.kubernetes.io/name: celeste
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "celeste.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "celeste.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Seconds that a drain may take: the setting, or the server's default. */ -}}
{{- define "celeste.drainSeconds" -}}
{{- $server := .Values.settings.server | default dict -}}
{{- if hasKey $server "drain_seconds" }}{{ $server.drain_seconds | ceil }}{{ else }}60{{ end }}
{{- end }}

{{- /* The settings of the server: those of the values, with the addresses and TLS. */ -}}
{{- define "celeste.settings" -}}
{{- $server := dict "listen" (list "0.0.0.0:50051" "unix:/run/celeste/celeste.sock") -}}
{{- if .Values.tls.secretName -}}
{{- $tls := dict "certificate_file" "/run/tls/tls.crt" "key_file" "/run/tls/tls.key" -}}
{{- if .Values.tls.clientCertificates -}}
{{- $tls = merge $tls (dict "client_ca_file" "/run/tls/ca.crt") -}}
{{- end -}}
{{- $server = merge $server (dict "tls" $tls) -}}
{{- else if .Values.insecure -}}
{{- $server = merge $server (dict "insecure" true) -}}
{{- else -}}
{{- fail "set tls.secretName; or insecure=true, if a sidecar encrypts or the network is trusted" -}}
{{- end -}}
{{- $added := dict "server" $server "admin" (dict "listen" "0.0.0.0:50052") -}}
{{- if .Values.metrics.enabled -}}
{{- $added = merge $added (dict "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port)))) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $added) -}}
{{- end }}

{{- define "celeste.check" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- if and (not .Values.ownStores) (not (hasPrefix "s3://" (dig "store" "url" "" .Values.settings))) -}}
{{- fail "several replicas need a common store: set settings.store.url to s3://..., or ownStores=true" -}}
{{- end -}}
{{- if or .Values.persistence.enabled .Values.persistence.existingClaim -}}
{{- fail "a claim belongs to one replica: set replicas=1, or leave persistence out" -}}
{{- end -}}
{{- end -}}
{{- end }}
