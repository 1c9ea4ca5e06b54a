// Package integration holds Leeward as a black box: it builds the binary once and asks it what a network would.
//
// Everything here goes through what section 2 to 5 of the design promise to the outside: flags, exit codes, keys in
// etcd, DNS messages, the admin HTTP. Nothing of ours is imported, so a test cannot pass by knowing how the inside
// works.
//
// Three kinds of parts meet the binary. Debian's etcd, unbound and dig run as they are, as processes on loopback or in
// network namespaces. The yard (yard_test.go) lays out those namespaces: regions, a client and a root server around one
// switch, in which any of them can be cut off without anybody being told. What has to be seen at an instant (endpoints,
// the parent zones, the constant load of queries) lives in the test process itself, on sockets opened in the namespace
// it belongs to, so that all times of a timeline are read from one clock.
//
// The tree (tree_test.go) is a true delegation in such a yard, from a root down to three servers: what judges of zones
// and clients of dynamic update are shown. Clients written in Go are modules below clients/, built when a test needs
// them.
//
// The closed loop (capacity_loop_test.go) is a world in which load matters: servers, etcd, queries and probes are real,
// requests are in a model that endpoints say the load of, so that what servers conclude decides what comes next.
//
// The tests need Linux, root and those parts. Where one is missing they skip and say which; with CI=true they fail
// instead.
package integration
