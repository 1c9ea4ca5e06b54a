// Package admin is what a server reports about itself over HTTP, and the model of that report.
//
// It only reads: changes are made in etcd or in the folder, and nowhere else. NewHandler serves /healthz, /readyz,
// /metrics, /api/v1/status and /api/v1/explain. What they show is gathered elsewhere and comes in as functions. So
// `leeward status --etcd` and `leeward explain --files` make and print the same Status and Explanation without a
// server.
package admin
