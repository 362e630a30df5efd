package main

import (
	"strings"
	"testing"
	"time"

	"postern/api"
)

// The status says of certificates and disk what is known of them, a fault first of
// all.
func TestStatusOfCertificatesAndDisk(t *testing.T) {
	var out strings.Builder
	o := &options{out: &out}
	err := o.printStatus(api.Status{
		SystemID: "demo-001", Disk: api.Disk{Free: 700 << 20, Size: 29000 << 20},
		Certificates: []api.Certificate{
			{Use: api.CertificateAuthorities, File: "/etc/postern/ca.pem", Error: "no such file or directory"},
			{Use: api.CertificateOwn, File: "mqtt-cert.pem", Credential: true, Names: []string{"demo-001", "panel.example"}, NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"authorities  /etc/postern/ca.pem: no such file or directory",
		"certificate  good until 2027-01-02 (credential mqtt-cert.pem, demo-001, panel.example)",
		"disk         700 MB of 29000 MB free",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}
