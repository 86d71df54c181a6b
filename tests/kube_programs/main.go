// The Kubernetes programs of a node and its control plane as one binary. The first argument, or the name of the binary,
// selects the program: one binary of all six is smaller and faster to build than six that share most packages.
package main

import (
	"context"
	"fmt"
	"os"
	"path"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func program(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

func main() {
	selected := program(path.Base(os.Args[0]))
	if selected == nil && len(os.Args) > 1 {
		selected = program(os.Args[1])
		os.Args = os.Args[1:]
	}
	if selected == nil {
		fmt.Fprintln(os.Stderr, "usage: kube-programs PROGRAM [ARGUMENT...], or a link to it with the name of a program")
		os.Exit(64)
	}
	os.Exit(cli.Run(selected))
}
