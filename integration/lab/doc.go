// Package lab has the parts of the black-box tests: it builds the binary, starts it beside other programs, and asks it
// what a network would ask.
//
// The rooms beside it are the tests, one subject each. They use only what Leeward promises to the outside: flags, exit
// codes, keys in etcd, DNS messages, the admin HTTP. They import nothing of Leeward, so no test can pass because it
// knows how the inside works.
//
//	question ─→ Server ── leeward, as it is shipped           Yard ── namespaces around a switch that can be cut
//	               │                                            │
//	             Member ── Debian's etcd                      Host ── one of them
//	               │                                            │
//	            Process ── whatever runs, and what it wrote   World ── three regions, their clients, and unbound
//	                                                          Tree ── a true delegation, from a root down
//
// Three kinds of parts meet the binary. Debian's etcd, unbound and dig run as they are, as processes on loopback or in
// network namespaces. A Yard makes those namespaces: hosts around one switch, which can cut off any of them without
// telling anybody. What must be seen at an instant (endpoints, the parent zones, the constant load of queries) lives in
// the test process itself, on sockets in its namespace. So one clock gives all times of a timeline.
//
// Names and addresses in a Yard belong to the test process: two runs do not meet. Packages of one checkout take turns
// (Main), since all of them hold Leeward to times on the same cores.
//
// The tests need Linux, root and those parts. If one is missing they skip and say which; with CI=true they fail
// instead.
package lab
