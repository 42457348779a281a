{{- define "isochrone.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "isochrone.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "isochrone.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "isochrone.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes: a deployment's selector can't. */}}
{{- define "isochrone.selector" -}}
app.kubernetes.io/name: {{ include "isochrone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "isochrone.labels" -}}
{{ include "isochrone.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: isochrone
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* image, of the root and .Values.image or .Values.notebookImage */}}
{{- define "isochrone.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "isochrone.claim" -}}
{{- default (printf "%s-artifacts" (include "isochrone.fullname" .)) .Values.artifacts.existingClaim -}}
{{- end -}}

{{/*
A pod. Of a dict: root; component; args; image; resources; grace, in seconds; scratch, the size of its folder; portal, whether
it is one; notebooks; drain, in seconds.
*/}}
{{- define "isochrone.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "isochrone.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    checksum/config: {{ $root.Values.config | sha256sum }}
    {{- if .worker }}
    # It carries work: a node is not emptied for thrift while it does.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    {{- end }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "isochrone.fullname" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "isochrone.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .component }}
  containers:
    - name: isochrone
      image: {{ include "isochrone.image" (list $root .image) | quote }}
      imagePullPolicy: {{ .image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        - name: ISOCHRONE_CONFIG
          value: /etc/isochrone/isochrone.toml
        - name: ISOCHRONE_REDIS_URL_FILE
          value: /run/secrets/redis/{{ $root.Values.redis.urlKey }}
        - name: ISOCHRONE_AMQP_URL_FILE
          value: /run/secrets/amqp/{{ $root.Values.amqp.urlKey }}
        {{- if $root.Values.seal.existingSecret }}
        - name: ISOCHRONE_SECRETS_KEY_FILE
          value: /run/secrets/seal/{{ $root.Values.seal.keyKey }}
        {{- end }}
        - name: ISOCHRONE__ADMIN__LISTEN
          value: 0.0.0.0:9600
        - name: ISOCHRONE__LOG__FORMAT
          value: json
        {{- if .worker }}
        - name: ISOCHRONE__WORKER__DRAIN_SECONDS
          value: {{ .drain | quote }}
        {{- end }}
        {{- if and .portal $root.Values.admin.existingSecret }}
        - name: ISOCHRONE_ADMIN_PASSWORD_FILE
          value: /run/secrets/admin/{{ $root.Values.admin.passwordKey }}
        {{- end }}
        {{- if and .portal $root.Values.https.existingSecret }}
        - name: ISOCHRONE__HTTPS__CERT_FILE
          value: /run/secrets/https/tls.crt
        - name: ISOCHRONE__HTTPS__KEY_FILE
          value: /run/secrets/https/tls.key
        {{- end }}
        {{- if $root.Values.arcgis.existingSecret }}
        - name: ISOCHRONE_PORTAL_{{ upper $root.Values.arcgis.kind }}_FILE
          value: /run/secrets/arcgis/{{ $root.Values.arcgis.kind }}
        {{- end }}
        {{- with $root.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: admin
          containerPort: 9600
        {{- if .portal }}
        - name: https
          containerPort: 7443
        {{- end }}
      startupProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/isochrone
          readOnly: true
        - name: redis
          mountPath: /run/secrets/redis
          readOnly: true
        - name: amqp
          mountPath: /run/secrets/amqp
          readOnly: true
        {{- if $root.Values.seal.existingSecret }}
        - name: seal
          mountPath: /run/secrets/seal
          readOnly: true
        {{- end }}
        {{- if and .portal $root.Values.admin.existingSecret }}
        - name: admin
          mountPath: /run/secrets/admin
          readOnly: true
        {{- end }}
        {{- if and .portal $root.Values.https.existingSecret }}
        - name: https
          mountPath: /run/secrets/https
          readOnly: true
        {{- end }}
        {{- if $root.Values.arcgis.existingSecret }}
        - name: arcgis
          mountPath: /run/secrets/arcgis
          readOnly: true
        {{- end }}
        - name: artifacts
          mountPath: /var/lib/isochrone-artifacts
        - name: data
          mountPath: /var/lib/isochrone
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: config
      configMap:
        name: {{ include "isochrone.fullname" $root }}
    - name: redis
      secret:
        secretName: {{ $root.Values.redis.existingSecret }}
        defaultMode: 0440
    - name: amqp
      secret:
        secretName: {{ $root.Values.amqp.existingSecret }}
        defaultMode: 0440
    {{- if $root.Values.seal.existingSecret }}
    - name: seal
      secret:
        secretName: {{ $root.Values.seal.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if and .portal $root.Values.admin.existingSecret }}
    - name: admin
      secret:
        secretName: {{ $root.Values.admin.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if and .portal $root.Values.https.existingSecret }}
    - name: https
      secret:
        secretName: {{ $root.Values.https.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if $root.Values.arcgis.existingSecret }}
    - name: arcgis
      secret:
        secretName: {{ $root.Values.arcgis.existingSecret }}
        defaultMode: 0440
    {{- end }}
    - name: artifacts
      persistentVolumeClaim:
        claimName: {{ include "isochrone.claim" $root }}
    - name: data
      emptyDir:
        sizeLimit: {{ .scratch }}
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
  {{- with $root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A PodDisruptionBudget. Of a dict: root, component, and how many (a line of the spec). */}}
{{- define "isochrone.budget" -}}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "isochrone.fullname" .root }}-{{ .component }}
  labels:
    {{- include "isochrone.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "isochrone.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}
