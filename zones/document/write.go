package document

import (
	"bytes"
	"encoding/json"
	"io"

	"go.yaml.in/yaml/v3"

	"leeward/zones"
)

// WriteYAML writes resources as documents that Read can read, separated by "---". It also writes the values that
// resources inherit, each with a comment that says where it comes from.
func WriteYAML(w io.Writer, rs []zones.Resource) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	for _, r := range rs {
		n, err := treeOf(r)
		if err != nil {
			return err
		}
		y := yamlNode(n)
		if names := zones.Inherited(r); len(names) > 0 {
			all, err := bodyOf(zones.WrittenOut(r))
			if err != nil {
				return err
			}
			for _, name := range names {
				value := yamlNode(all.get(name))
				value.LineComment = "from Defaults " + string(r.Key().Kind())
				y.Content = append(y.Content, yamlNode(&node{shape: shapeText, text: name}), value)
			}
		}
		if err := e.Encode(y); err != nil {
			return err
		}
	}
	if len(rs) == 0 {
		return nil
	}
	return e.Close()
}

// WriteJSON writes resources as an array of documents that Read can read.
func WriteJSON(w io.Writer, rs []zones.Resource) error {
	list := node{shape: shapeList}
	for _, r := range rs {
		n, err := treeOf(r)
		if err != nil {
			return err
		}
		list.items = append(list.items, *n)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, appendJSON(nil, &list), "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	_, err := w.Write(text.Bytes())
	return err
}

// treeOf returns the resource's document, kind and name first.
func treeOf(r zones.Resource) (*node, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	key := r.Key()
	body.fields = append([]field{
		{name: "kind", value: node{shape: shapeText, text: string(key.Kind())}},
		{name: "name", value: node{shape: shapeText, text: key.Name()}},
	}, body.fields...)
	return body, nil
}

// bodyOf returns the resource's fields as Encode writes them.
func bodyOf(r zones.Resource) (*node, error) {
	value, err := zones.Encode(r)
	if err != nil {
		return nil, err
	}
	n, _, _, err := parseJSON(value, 1)
	return &n, err
}
