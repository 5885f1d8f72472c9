//go:build tools

// Package jaeger names the program that is built, so that `go mod tidy` keeps its module.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
