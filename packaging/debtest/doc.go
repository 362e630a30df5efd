// Package debtest has the test of the Debian packages alone: it builds them,
// again elsewhere and from nothing, looks at them with lintian, and takes one
// through its life in a Debian root of its own. It needs POSTERN_TEST_DEB=1, which
// `make test-deb` sets; with "full" it compiles all programs for all architectures
// again, which takes minutes of processor time.
package debtest
