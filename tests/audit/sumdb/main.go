// Checks a log of ACT with nothing of ACT: the note, the tree, the tiles and the proofs by golang.org/x/mod/sumdb, the
// code that checks Go's own checksum database.
//
//	sumdb URL API_KEY VERIFIER_KEY SIZE...
//
// Reads the checkpoint, then the tiles; hashes every record; holds the inclusion proof of some records of every tree of
// SIZE records, and the consistency proofs between all those trees, against what it has computed. Exits with 1 and a
// sentence when something does not fit.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of a tile: 256 hashes

type log struct {
	url, key string
	tiles    map[string][]byte
}

func main() {
	if err := check(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(url, key, verifierKey string, wanted []string) error {
	it := &log{url, key, map[string][]byte{}}
	tree, err := it.head(verifierKey)
	if err != nil {
		return err
	}
	sizes := []int64{}
	for _, text := range wanted {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil || size < 1 || size > tree.N {
			return fmt.Errorf("there is no tree of %s records, the log has %d", text, tree.N)
		}
		sizes = append(sizes, size)
	}
	sizes = append(sizes, tree.N)
	if err := it.records(tree); err != nil {
		return err
	}
	// Every hash that this reader gives was led to the signed root before.
	hashes := tlog.TileHashReader(tree, it)
	for at, size := range sizes {
		root, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		if err := it.inclusion(hashes, size, root); err != nil {
			return err
		}
		for _, earlier := range sizes[:at] {
			if earlier > size {
				continue
			}
			if err := it.consistency(hashes, earlier, size, root); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d records, %d trees, %d tiles\n", tree.N, len(sizes), len(it.tiles))
	return nil
}

// head is the signed head of the log, by the note that was opened with the verifier key from elsewhere.
func (it *log) head(verifierKey string) (tlog.Tree, error) {
	text, err := it.get("checkpoint", "text/plain")
	if err != nil {
		return tlog.Tree{}, err
	}
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("the checkpoint: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 3 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// records hashes every record, in the bundles of entries, and builds the tree from nothing else.
func (it *log) records(tree tlog.Tree) error {
	stored := []tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := []tlog.Hash{}
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for at := int64(0); at < tree.N; {
		width := tree.N - at
		if width > 1<<height {
			width = 1 << height
		}
		bundle, err := it.get("tile/"+path("entries", at>>height, int(width)), "")
		if err != nil {
			return err
		}
		for count := int64(0); count < width; count++ {
			if len(bundle) < 2 {
				return fmt.Errorf("the bundle of record %d is cut off", at)
			}
			length := int(bundle[0])<<8 | int(bundle[1])
			if len(bundle) < 2+length {
				return fmt.Errorf("the bundle of record %d is cut off", at)
			}
			record := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			var said struct{ Index int64 }
			if err := json.Unmarshal(record, &said); err != nil || said.Index != at {
				return fmt.Errorf("record %d says that it is %d (%v)", at, said.Index, err)
			}
			hashes, err := tlog.StoredHashes(at, record, reader)
			if err != nil {
				return err
			}
			stored = append(stored, hashes...)
			at++
		}
		if len(bundle) != 0 {
			return fmt.Errorf("the bundle before record %d is too long", at)
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the records have the root %v, signed was %v (%v)", root, tree.Hash, err)
	}
	return nil
}

// inclusion asks for the proofs of the first, the last and some records between, of the tree of this size.
func (it *log) inclusion(hashes tlog.HashReader, size int64, root tlog.Hash) error {
	for _, index := range []int64{0, size / 3, size / 2, size - 1} {
		var answer struct {
			LeafHash, RootHash string
			Hashes             []string
		}
		if err := it.ask(fmt.Sprintf("proof/inclusion?index=%d&size=%d", index, size), &answer); err != nil {
			return err
		}
		proof, err := parsed(answer.Hashes)
		if err != nil {
			return err
		}
		leaves, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		if answer.LeafHash != hex.EncodeToString(leaves[0][:]) || answer.RootHash != hex.EncodeToString(root[:]) {
			return fmt.Errorf("record %d of %d: another leaf hash or root than in the tiles", index, size)
		}
		if err := tlog.CheckRecord(tlog.RecordProof(proof), size, root, index, leaves[0]); err != nil {
			return fmt.Errorf("record %d of %d: %v", index, size, err)
		}
		own, err := tlog.ProveRecord(size, index, hashes)
		if err != nil || fmt.Sprint(own) != fmt.Sprint(tlog.RecordProof(proof)) {
			return fmt.Errorf("record %d of %d: another proof than from the tiles (%v)", index, size, err)
		}
		// A proof that proves everything proves nothing.
		if tlog.CheckRecord(tlog.RecordProof(proof), size, root, index, tlog.RecordHash([]byte("another"))) == nil {
			return fmt.Errorf("record %d of %d: the proof is of any record", index, size)
		}
	}
	return nil
}

func (it *log) consistency(hashes tlog.HashReader, first, second int64, root tlog.Hash) error {
	var answer struct {
		FirstRootHash, SecondRootHash string
		Hashes                        []string
	}
	if err := it.ask(fmt.Sprintf("proof/consistency?first=%d&second=%d", first, second), &answer); err != nil {
		return err
	}
	before, err := tlog.TreeHash(first, hashes)
	if err != nil {
		return err
	}
	if answer.FirstRootHash != hex.EncodeToString(before[:]) || answer.SecondRootHash != hex.EncodeToString(root[:]) {
		return fmt.Errorf("%d to %d: other roots than in the tiles", first, second)
	}
	proof, err := parsed(answer.Hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(tlog.TreeProof(proof), second, root, first, before); err != nil {
		return fmt.Errorf("%d to %d: %v", first, second, err)
	}
	if first < second && tlog.CheckTree(tlog.TreeProof(proof), second, root, first, root) == nil {
		return fmt.Errorf("%d to %d: the proof is of any beginning", first, second)
	}
	return nil
}

func (it *log) Height() int { return height }

// ReadTiles reads tiles for tlog, which leads every hash in them to the root before it gives it to anybody.
func (it *log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := [][]byte{}
	for _, tile := range tiles {
		name := path(strconv.Itoa(tile.L), tile.N, tile.W)
		if _, known := it.tiles[name]; !known {
			content, err := it.get("tile/"+name, "")
			if err != nil {
				return nil, err
			}
			it.tiles[name] = content
		}
		found = append(found, it.tiles[name])
	}
	return found, nil
}

func (it *log) SaveTiles([]tlog.Tile, [][]byte) {}

// path is the name of a tile as C2SP tlog-tiles has it.
func path(level string, number int64, width int) string {
	name := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		name = fmt.Sprintf("x%03d/%s", number%1000, name)
	}
	if width < 1<<height {
		name = fmt.Sprintf("%s.p/%d", name, width)
	}
	return level + "/" + name
}

func parsed(texts []string) ([]tlog.Hash, error) {
	found := []tlog.Hash{}
	for _, text := range texts {
		decoded, err := hex.DecodeString(text)
		if err != nil || len(decoded) != tlog.HashSize {
			return nil, fmt.Errorf("%q is no hash", text)
		}
		var hash tlog.Hash
		copy(hash[:], decoded)
		found = append(found, hash)
	}
	return found, nil
}

func (it *log) ask(what string, answer any) error {
	content, err := it.get(what, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(content, answer)
}

func (it *log) get(what, accept string) ([]byte, error) {
	request, err := http.NewRequest("GET", it.url+"/v1/audit/"+what, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", it.key)
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %s", what, answer.Status, content)
	}
	return content, err
}
