// The command external-dns from its own parts: its flags, the source connector, the registry txt, the provider rfc2136,
// its plan and its controller. What is left out are the other 30 sources and 25 providers, with the modules that those
// need.
package main

import (
	"context"
	"log"
	"os"

	"sigs.k8s.io/external-dns/controller"
	"sigs.k8s.io/external-dns/endpoint"
	"sigs.k8s.io/external-dns/pkg/apis/externaldns"
	"sigs.k8s.io/external-dns/pkg/apis/externaldns/validation"
	"sigs.k8s.io/external-dns/plan"
	"sigs.k8s.io/external-dns/provider/rfc2136"
	"sigs.k8s.io/external-dns/registry/txt"
	"sigs.k8s.io/external-dns/source"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	cfg := externaldns.NewConfig()
	if err := cfg.ParseFlags(args); err != nil {
		return err
	}
	if err := validation.ValidateConfig(cfg); err != nil {
		return err
	}
	src, err := source.NewConnectorSource(cfg.ConnectorSourceServer)
	if err != nil {
		return err
	}
	filter := endpoint.NewDomainFilterWithOptions(endpoint.WithDomainFilter(cfg.DomainFilter),
		endpoint.WithDomainExclude(cfg.DomainExclude))
	p, err := rfc2136.New(ctx, cfg, filter)
	if err != nil {
		return err
	}
	reg, err := txt.New(cfg, p)
	if err != nil {
		return err
	}
	return (&controller.Controller{
		Source:             src,
		Registry:           reg,
		Policy:             plan.Policies[cfg.Policy],
		Interval:           cfg.Interval,
		DomainFilter:       filter,
		ManagedRecordTypes: cfg.ManagedDNSRecordTypes,
		ExcludeRecordTypes: cfg.ExcludeDNSRecordTypes,
	}).RunOnce(ctx)
}
