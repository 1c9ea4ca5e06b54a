package zones_test

import (
	"fmt"
	"strings"
	"testing"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
)

func TestBeyondIsWhatAnEditAdds(t *testing.T) {
	docs := zones.Documents(&zones.Pool{Pool: "a", Region: "eu"}, &zones.Region{Region: "us"})
	before := catalog.Check(docs)
	after := catalog.Check(append(docs, zones.Documents(&zones.Pool{Pool: "b", Region: "ap"})...))
	added := after.Beyond(before).Errors()
	if len(added) != 1 || added[0].Key != "pools/b" {
		t.Errorf("added: %v", added)
	}
}

// Of many warnings of one kind, ten are listed, and the last line says how many there are. Errors are all listed.
func TestManyWarningsAreSummarised(t *testing.T) {
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "{kind: Region, name: r%d}\n---\n{kind: Pool, name: p%[1]d, region: r%[1]d}\n---\n{kind: "+
			"Pool, name: q%[1]d, region: s%[1]d}\n---\n", i)
	}
	docs, problems := document.Read("a.yaml", strings.NewReader(text.String()))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	all := catalog.Check(docs)
	short := all.Summary()
	warnings := short.Warnings()
	if len(all.Warnings()) != 4000 || len(warnings) != 11 || len(short.Errors()) != 2000 ||
		!strings.Contains(warnings[10].Message, "and 3989 more like this one: it has no endpoints") {
		t.Errorf("%d of %d warnings, %d errors, the last %v", len(warnings), len(all.Warnings()), len(short.Errors()),
			warnings[len(warnings)-1])
	}
}
