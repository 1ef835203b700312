package kubernetes

// What is written of the Kubernetes API, and no more: k8s.io/api would add
// 10 MB to the program. tests/kubernetes holds what comes out against the API's own schemas.

type meta struct {
	Name   string            `yaml:"name,omitempty"`
	Labels map[string]string `yaml:"labels,omitempty"`
	// Namespace stays out where the person says it: kubectl -n.
	Namespace string `yaml:"namespace,omitempty"`
}

type object struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   meta              `yaml:"metadata"`
	Immutable  bool              `yaml:"immutable,omitempty"`
	Data       map[string]string `yaml:"data,omitempty"`
	Spec       any               `yaml:"spec,omitempty"`
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type networkPolicySpec struct {
	PodSelector selector  `yaml:"podSelector"`
	PolicyTypes []string  `yaml:"policyTypes"`
	Ingress     []ingress `yaml:"ingress,omitempty"`
	Egress      []egress  `yaml:"egress,omitempty"`
}

type ingress struct {
	From  []peer       `yaml:"from"`
	Ports []policyPort `yaml:"ports"`
}

type egress struct {
	To    []peer       `yaml:"to"`
	Ports []policyPort `yaml:"ports"`
}

type peer struct {
	PodSelector       *selector `yaml:"podSelector,omitempty"`
	NamespaceSelector *selector `yaml:"namespaceSelector,omitempty"`
	IPBlock           *ipBlock  `yaml:"ipBlock,omitempty"`
}

type ipBlock struct {
	CIDR   string   `yaml:"cidr"`
	Except []string `yaml:"except,omitempty"`
}

type policyPort struct {
	Protocol string `yaml:"protocol"`
	Port     int    `yaml:"port"`
}

type serviceSpec struct {
	Selector map[string]string `yaml:"selector"`
	Ports    []servicePort     `yaml:"ports"`
}

type servicePort struct {
	Name       string `yaml:"name"`
	Protocol   string `yaml:"protocol"`
	Port       int    `yaml:"port"`
	TargetPort int    `yaml:"targetPort"`
}

type deploymentSpec struct {
	Replicas int         `yaml:"replicas"`
	Strategy strategy    `yaml:"strategy"`
	Selector selector    `yaml:"selector"`
	Template podTemplate `yaml:"template"`
}

type strategy struct {
	Type string `yaml:"type"`
}

type jobSpec struct {
	BackoffLimit int         `yaml:"backoffLimit"`
	Template     podTemplate `yaml:"template"`
}

type podTemplate struct {
	Metadata meta    `yaml:"metadata"`
	Spec     podSpec `yaml:"spec"`
}

type podSpec struct {
	RuntimeClassName             string      `yaml:"runtimeClassName,omitempty"`
	RestartPolicy                string      `yaml:"restartPolicy,omitempty"`
	AutomountServiceAccountToken bool        `yaml:"automountServiceAccountToken"`
	EnableServiceLinks           bool        `yaml:"enableServiceLinks"`
	DNSPolicy                    string      `yaml:"dnsPolicy,omitempty"`
	DNSConfig                    *dnsConfig  `yaml:"dnsConfig,omitempty"`
	Hostname                     string      `yaml:"hostname,omitempty"`
	TerminationGrace             int         `yaml:"terminationGracePeriodSeconds"`
	SecurityContext              podSecurity `yaml:"securityContext"`
	InitContainers               []container `yaml:"initContainers,omitempty"`
	Containers                   []container `yaml:"containers"`
	Volumes                      []volume    `yaml:"volumes"`
}

type dnsConfig struct {
	Nameservers []string `yaml:"nameservers"`
}

type podSecurity struct {
	RunAsNonRoot   bool     `yaml:"runAsNonRoot"`
	FSGroup        int      `yaml:"fsGroup"`
	SeccompProfile seccomp  `yaml:"seccompProfile"`
	Sysctls        []sysctl `yaml:"sysctls,omitempty"`
}

type seccomp struct {
	Type string `yaml:"type"`
}

type sysctl struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

type container struct {
	Name            string            `yaml:"name"`
	Image           string            `yaml:"image"`
	Command         []string          `yaml:"command"`
	WorkingDir      string            `yaml:"workingDir,omitempty"`
	Env             []envVar          `yaml:"env,omitempty"`
	Ports           []containerPort   `yaml:"ports,omitempty"`
	RestartPolicy   string            `yaml:"restartPolicy,omitempty"`
	Stdin           bool              `yaml:"stdin,omitempty"`
	StdinOnce       bool              `yaml:"stdinOnce,omitempty"`
	StartupProbe    *probe            `yaml:"startupProbe,omitempty"`
	ReadinessProbe  *probe            `yaml:"readinessProbe,omitempty"`
	Resources       resources         `yaml:"resources"`
	SecurityContext containerSecurity `yaml:"securityContext"`
	VolumeMounts    []mount           `yaml:"volumeMounts,omitempty"`
}

type containerPort struct {
	ContainerPort int `yaml:"containerPort"`
}

type envVar struct {
	Name      string     `yaml:"name"`
	Value     *string    `yaml:"value,omitempty"`
	ValueFrom *valueFrom `yaml:"valueFrom,omitempty"`
}

type valueFrom struct {
	SecretKeyRef secretKey `yaml:"secretKeyRef"`
}

type secretKey struct {
	Name string `yaml:"name"`
	Key  string `yaml:"key"`
}

type probe struct {
	Exec             execAction `yaml:"exec"`
	PeriodSeconds    int        `yaml:"periodSeconds"`
	TimeoutSeconds   int        `yaml:"timeoutSeconds"`
	FailureThreshold int        `yaml:"failureThreshold"`
}

type execAction struct {
	Command []string `yaml:"command"`
}

type resources struct {
	Requests quantities `yaml:"requests"`
	Limits   quantities `yaml:"limits"`
}

type quantities struct {
	CPU       string `yaml:"cpu"`
	Memory    string `yaml:"memory"`
	Ephemeral string `yaml:"ephemeral-storage,omitempty"`
}

type containerSecurity struct {
	RunAsUser                int          `yaml:"runAsUser"`
	RunAsGroup               int          `yaml:"runAsGroup"`
	RunAsNonRoot             bool         `yaml:"runAsNonRoot"`
	AllowPrivilegeEscalation bool         `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool         `yaml:"readOnlyRootFilesystem"`
	Capabilities             capabilities `yaml:"capabilities"`
	SeccompProfile           seccomp      `yaml:"seccompProfile"`
}

type capabilities struct {
	Drop []string `yaml:"drop"`
}

type mount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly,omitempty"`
}

type volume struct {
	Name      string           `yaml:"name"`
	EmptyDir  *emptyDir        `yaml:"emptyDir,omitempty"`
	ConfigMap *configMapVolume `yaml:"configMap,omitempty"`
	Secret    *secretVolume    `yaml:"secret,omitempty"`
}

type emptyDir struct {
	Medium    string `yaml:"medium,omitempty"`
	SizeLimit string `yaml:"sizeLimit"`
}

type configMapVolume struct {
	Name  string    `yaml:"name"`
	Items []keyPath `yaml:"items,omitempty"`
}

type secretVolume struct {
	SecretName  string    `yaml:"secretName"`
	Items       []keyPath `yaml:"items"`
	DefaultMode int       `yaml:"defaultMode"`
}

type keyPath struct {
	Key  string `yaml:"key"`
	Path string `yaml:"path"`
}
