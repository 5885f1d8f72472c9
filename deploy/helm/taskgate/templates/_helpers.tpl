{{- define "taskgate.labels" -}}
app.kubernetes.io/name: taskgate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "taskgate.secret" -}}
{{ .Values.secret.existing | default (printf "%s-settings" .Release.Name) }}
{{- end }}

{{- define "taskgate.temporal" -}}
{{- if .Values.temporal.bundled.enabled }}{{ .Release.Name }}-temporal:7233{{ else }}{{ .Values.temporal.address }}{{ end }}
{{- end }}

{{/* A setting as the code reads it: lists and maps are JSON, and whole numbers have all their digits (`quote` alone: 2.097152e+07). */}}
{{- define "taskgate.setting" -}}
{{- if or (kindIs "slice" .) (kindIs "map" .) }}{{ toJson . | quote }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . | quote }}
{{- else }}{{ quote . }}
{{- end }}
{{- end }}

{{- define "taskgate.image" -}}
{{ .root.Values.image.registry }}{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Without service links: a Service `taskgate-codec` of the namespace would set TASKGATE_CODEC_PORT to tcp://… */}}
{{- define "taskgate.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "taskgate.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "taskgate.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ toJson $.match }}
  {{- end }}
{{- end }}

{{- define "taskgate.temporal.password" -}}
valueFrom:
  secretKeyRef: {name: {{ .Values.temporal.bundled.sql.passwordSecret }}, key: password}
{{- end }}

{{/* Every required value that is missing, in one line. */}}
{{- define "taskgate.missing" -}}
{{- $v := .Values }}
{{- $missing := list }}
{{- if not (or $v.secret.existing $v.secret.values.TASKGATE_DATABASE_URL (and $v.secret.external.store $v.secret.external.remoteKey)) }}
{{- $missing = append $missing "secret.existing (or secret.values.TASKGATE_DATABASE_URL, or secret.external.store and .remoteKey)" }}
{{- end }}
{{- if and $v.keda.enabled (not $v.keda.keySecret) }}
{{- $missing = append $missing "keda.keySecret (or keda.enabled=false)" }}
{{- end }}
{{- if and $v.migrate.enabled (not $v.secret.existing) (not $v.migrate.ownerSecret) }}
{{- $missing = append $missing "migrate.ownerSecret (or secret.existing, or migrate.enabled=false)" }}
{{- end }}
{{- if $v.temporal.bundled.enabled }}
{{- if not $v.temporal.bundled.sql.host }}{{ $missing = append $missing "temporal.bundled.sql.host" }}{{ end }}
{{- if not $v.temporal.bundled.sql.passwordSecret }}{{ $missing = append $missing "temporal.bundled.sql.passwordSecret" }}{{ end }}
{{- else if not $v.temporal.address }}
{{- with $v.workers.pools }}
{{- if or .a.enabled .b.enabled .c.enabled }}
{{- $missing = append $missing "temporal.address (or temporal.bundled.enabled=true, or workers.pools a, b and c not enabled)" }}
{{- end }}
{{- end }}
{{- end }}
{{- if $missing }}{{ fail (printf "missing values: %s" (join ", " $missing)) }}{{ end }}
{{- end }}
