// Package admin is what a server tells of itself over HTTP, and the model of it.
//
// It only reads: the one way to change anything is etcd or the folder. NewHandler serves /healthz, /readyz, /metrics,
// /api/v1/status and /api/v1/explain; what they show is gathered elsewhere and comes in as functions, so the same
// Status and Explanation are also made and printed by `leeward status --etcd` and `leeward explain --files` without a
// server.
package admin
