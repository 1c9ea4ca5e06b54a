package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"mime"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

// file is one asset, plain and compressed.
type file struct {
	hash          string
	plain, packed []byte
}

var (
	files  = map[string]*file{}
	style  = load("console.css")
	script = load("console.js")
	icon   = load("icon.svg")
	world  = load("world.svg")
)

// load reads an asset and returns its URL. The URL contains a digest of the content, so that a browser may keep it for
// as long as it likes.
func load(name string) string {
	plain, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // the asset is in the binary
	}
	sum := sha256.Sum256(plain)
	f := &file{base64.RawURLEncoding.EncodeToString(sum[:9]), plain, pack(plain)}
	files[name] = f
	return "/assets/" + f.hash + "/" + name
}

// asset serves one asset.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	f := files[name]
	if f == nil || f.hash != r.PathValue("hash") {
		http.Error(w, "there is no such asset; load the page again", http.StatusNotFound)
		return
	}
	secure(w.Header())
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	write(w, r, http.StatusOK, f.plain, f.packed)
}
