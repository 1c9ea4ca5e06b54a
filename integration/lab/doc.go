// Package lab is what the black-box tests are made of: it builds the binary, starts it beside other programs, and asks
// it what a network would.
//
// The rooms beside it are the tests, one subject each. All of them go through what Leeward promises to the outside:
// flags, exit codes, keys in etcd, DNS messages, the admin HTTP. Nothing of Leeward is imported, so that no test can
// pass by knowing how the inside works.
//
//	question ─→ Server ── leeward, as it is shipped           Yard ── namespaces around a switch that can be cut
//	               │                                            │
//	             Member ── Debian's etcd                      Host ── one of them
//	               │                                            │
//	            Process ── whatever runs, and what it wrote   World ── three regions, their clients, and unbound
//	                                                          Tree ── a true delegation, from a root down
//
// Three kinds of parts meet the binary. Debian's etcd, unbound and dig run as they are, as processes on loopback or in
// network namespaces. A Yard lays out those namespaces: hosts around one switch, in which any of them can be cut off
// without anybody being told. What has to be seen at an instant (endpoints, the parent zones, the constant load of
// queries) lives in the test process itself, on sockets opened in the namespace that it belongs to, so that all times
// of a timeline are read from one clock.
//
// Names and addresses in a Yard belong to the test process: two runs do not meet. Packages of one checkout take turns
// (Main), since all of them hold Leeward to times on the same cores.
//
// The tests need Linux, root and those parts. Where one is missing they skip and say which; with CI=true they fail
// instead.
package lab
