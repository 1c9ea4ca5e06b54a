package document

import "testing"

func BenchmarkDecodeRecord(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		if _, err := Decode("records/example.test/host-1/A", []byte(`{"ttl":"300s","data":["192.0.2.1"]}`)); err != nil {
			b.Fatal(err)
		}
	}
}
