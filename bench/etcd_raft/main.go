// etcd_raft: the loop of raft_bench around etcd's raft library, as packaged by Debian. Three voters in one goroutine, MemoryStorage,
// proposals one by one, every message and every Ready carried out in the loop, the log compacted as often.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o etcd_raft bench/etcd_raft/main.go
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"go.etcd.io/etcd/raft"
	"go.etcd.io/etcd/raft/raftpb"
)

const (
	nodes        = 3
	warmUp       = 10000
	compactEvery = 4096
)

type node struct {
	*raft.RawNode
	storage *raft.MemoryStorage
	applied uint64
	count   int
}

type trio struct {
	nodes   [nodes]*node
	encoded bool
}

func newTrio(encoded bool) *trio {
	t := &trio{encoded: encoded}
	for i := range t.nodes {
		storage := raft.NewMemoryStorage()
		conf := raftpb.ConfState{Voters: []uint64{1, 2, 3}}
		check(storage.ApplySnapshot(raftpb.Snapshot{Metadata: raftpb.SnapshotMetadata{ConfState: conf, Index: 1, Term: 1}}))
		raw, err := raft.NewRawNode(&raft.Config{
			ID: uint64(i + 1), ElectionTick: 30, HeartbeatTick: 5, Storage: storage, Applied: 1,
			MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256, PreVote: true, CheckQuorum: true,
			Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
		})
		check(err)
		t.nodes[i] = &node{RawNode: raw, storage: storage, applied: 1}
	}
	check(t.nodes[0].Campaign())
	t.drain()
	return t
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd_raft:", err)
		os.Exit(2)
	}
}

func (t *trio) deliver(messages []raftpb.Message) {
	for _, m := range messages {
		if t.encoded {
			bytes, err := m.Marshal()
			check(err)
			var decoded raftpb.Message
			check(decoded.Unmarshal(bytes))
			m = decoded
		}
		check(t.nodes[m.To-1].Step(m))
	}
}

func (t *trio) turn(n *node) {
	ready := n.Ready()
	if !raft.IsEmptyHardState(ready.HardState) {
		check(n.storage.SetHardState(ready.HardState))
	}
	check(n.storage.Append(ready.Entries))
	t.deliver(ready.Messages)
	for _, entry := range ready.CommittedEntries {
		n.applied = entry.Index
		if len(entry.Data) > 0 {
			n.count++
		}
	}
	n.Advance(ready)
	first, err := n.storage.FirstIndex()
	check(err)
	if n.applied >= first-1+compactEvery {
		_, err := n.storage.CreateSnapshot(n.applied, &raftpb.ConfState{Voters: []uint64{1, 2, 3}}, nil)
		check(err)
		check(n.storage.Compact(n.applied))
	}
}

func (t *trio) drain() {
	for busy := true; busy; {
		busy = false
		for _, n := range t.nodes {
			for n.HasReady() {
				t.turn(n)
				busy = true
			}
		}
	}
}

func main() {
	batch := flag.Int("batch", 1, "proposals in each round")
	proposals := flag.Int("proposals", 1000000, "measured")
	bytes := flag.Int("bytes", 116, "of each proposal")
	encoded := flag.Bool("encoded", false, "marshal and unmarshal every message")
	flag.Parse()
	t := newTrio(*encoded)
	var begin time.Time
	proposed := 0
	for proposed < warmUp+*proposals {
		if proposed >= warmUp && begin.IsZero() {
			begin = time.Now()
			proposed = warmUp
			t.nodes[0].count = warmUp
		}
		for i := 0; i < *batch; i++ {
			check(t.nodes[0].Propose(make([]byte, *bytes)))
		}
		proposed += *batch
		t.drain()
		if t.nodes[0].count < proposed {
			check(fmt.Errorf("%d of %d proposals are applied", t.nodes[0].count, proposed))
		}
	}
	seconds := time.Since(begin).Seconds()
	fmt.Printf("%.0f\n", float64(proposed-warmUp)/seconds)
}
