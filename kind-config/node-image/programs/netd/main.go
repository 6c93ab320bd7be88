// netd is the network agent of a node. It follows the nodes of the cluster, tells containerd how pods of its own node
// are linked, keeps one route to the pods of every other node, and masquerades what leaves the network of pods.
//
// It needs `ip` and `iptables` beside it, and nothing but the standard library.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"
	configuration  = "/etc/cni/net.d/10-netd.conflist"
	// How long to wait after a failure; the API server may not be there yet.
	pause = 500 * time.Millisecond
	// How long one watch lasts; the next one tells of every node again.
	watchSeconds = 300
)

type node struct {
	Metadata struct{ Name string }
	Spec     struct{ PodCIDR string }
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

type event struct {
	Type   string
	Object node
}

// agent knows what has been set up for each node.
type agent struct {
	hostIP string
	done   map[string]string
}

func main() {
	subnet := os.Getenv("POD_SUBNET")
	for {
		err := masquerade(subnet)
		if err == nil {
			break
		}
		log.Print(err)
		time.Sleep(pause)
	}
	a := agent{hostIP: os.Getenv("HOST_IP"), done: map[string]string{}}
	for {
		if err := a.follow(); err != nil {
			log.Print(err)
			time.Sleep(pause)
		}
	}
}

// masquerade lets pods reach what is outside of the cluster by the address of their node.
func masquerade(subnet string) error {
	rule := []string{"POSTROUTING", "-s", subnet, "!", "-d", subnet, "-j", "MASQUERADE"}
	if run("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...) == nil {
		return nil
	}
	return run("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...)
}

// follow watches the nodes until the API server ends the watch. A watch without a start tells of all nodes first.
func (a *agent) follow() error {
	client, err := client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	token, err := os.ReadFile(serviceAccount + "token")
	if err != nil {
		return err
	}
	server := "https://" + os.Getenv("KUBERNETES_SERVICE_HOST") + ":" + os.Getenv("KUBERNETES_SERVICE_PORT")
	url := fmt.Sprintf("%s/api/v1/nodes?watch=1&timeoutSeconds=%d", server, watchSeconds)
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("watch nodes: %s", response.Status)
	}
	events := json.NewDecoder(response.Body)
	for {
		var e event
		if err := events.Decode(&e); err != nil {
			return fmt.Errorf("the watch of nodes ended: %w", err)
		}
		switch e.Type {
		case "ADDED", "MODIFIED":
			err = a.set(e.Object)
		case "DELETED":
			err = a.remove(e.Object)
		case "ERROR":
			err = fmt.Errorf("the API server ended the watch of nodes")
		}
		if err != nil {
			return err
		}
	}
}

func client() (*http.Client, error) {
	authority, err := os.ReadFile(serviceAccount + "ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	// A connection that was begun before there is a way to the service never finds one: the kernel remembers where it was to
	// go. When a node starts again, that is so.
	dialer := &net.Dialer{Timeout: time.Second}
	transport := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: pool},
		ResponseHeaderTimeout: 10 * time.Second,
	}
	return &http.Client{Transport: transport, Timeout: (watchSeconds + 10) * time.Second}, nil
}

func (a *agent) set(n node) error {
	address := n.address()
	wanted := address + " " + n.Spec.PodCIDR
	if address == "" || n.Spec.PodCIDR == "" || a.done[n.Metadata.Name] == wanted {
		return nil
	}
	var err error
	if address == a.hostIP {
		err = configure(n.Spec.PodCIDR)
	} else {
		err = run("ip", "route", "replace", n.Spec.PodCIDR, "via", address)
	}
	if err != nil {
		return err
	}
	a.done[n.Metadata.Name] = wanted
	log.Printf("node %s: %s", n.Metadata.Name, wanted)
	return nil
}

func (a *agent) remove(n node) error {
	if _, known := a.done[n.Metadata.Name]; !known || n.address() == a.hostIP {
		return nil
	}
	delete(a.done, n.Metadata.Name)
	return run("ip", "route", "del", n.Spec.PodCIDR)
}

// address is the node's IPv4 address.
func (n node) address() string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" && !strings.Contains(a.Address, ":") {
			return a.Address
		}
	}
	return ""
}

// configure tells containerd how a pod of this node is linked: a pair of interfaces, an address of the node's range.
func configure(podRange string) error {
	type object = map[string]any
	plugins := []object{
		{
			"type":   "ptp",
			"ipMasq": false,
			"ipam": object{
				"type":    "host-local",
				"dataDir": "/run/cni-ipam-state",
				"routes":  []object{{"dst": "0.0.0.0/0"}},
				"ranges":  [][]object{{{"subnet": podRange}}},
			},
		},
		{"type": "portmap", "capabilities": object{"portMappings": true}},
	}
	text, err := json.Marshal(object{"cniVersion": "1.0.0", "name": "netd", "plugins": plugins})
	if err != nil {
		return err
	}
	// A half-written file must not be read.
	temporary := configuration + ".new"
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, configuration)
}

func run(program string, arguments ...string) error {
	output, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		words := slices.Concat([]string{program}, arguments)
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, output)
	}
	return nil
}
