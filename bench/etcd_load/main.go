// etcd_load: the counterpart of raftkv-bench for etcd, written with etcd's own client. Closed loop; the same keys, values and percentiles.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o etcd_load bench/etcd_load/main.go
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "host:port[,host:port...]")
	test := flag.String("test", "set", "set, get, mixed, or fill: every key once, in order, however long it takes")
	clients := flag.Int("connections", 50, "concurrent callers")
	shared := flag.Int("shared", 0, "connections they share; 0: one for each caller")
	seconds := flag.Float64("seconds", 5, "measured time")
	warmup := flag.Float64("warmup", 1, "seconds before it")
	keys := flag.Int("keys", 100000, "different keys")
	valueBytes := flag.Int("value-bytes", 100, "size of a value")
	readPercent := flag.Int("read-percent", 80, "share of reads in mixed")
	csv := flag.Bool("csv", false, "test,connections,pipeline,rate,p50,p99,p99.9,max,errors")
	flag.Parse()

	count := *shared
	if count == 0 {
		count = *clients
	}
	all := strings.Split(*endpoints, ",")
	var connections []*clientv3.Client
	for i := 0; i < count; i++ {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{all[i%len(all)]}, DialTimeout: 5 * time.Second})
		if err != nil {
			fmt.Fprintf(os.Stderr, "etcd_load: %s: %v\n", all[i%len(all)], err)
			os.Exit(2)
		}
		defer client.Close()
		connections = append(connections, client)
	}

	value := strings.Repeat("x", *valueBytes)
	from := time.Now().Add(time.Duration(*warmup * float64(time.Second)))
	until := from.Add(time.Duration(*seconds * float64(time.Second)))
	var errors, filled int64
	latencies := make([][]time.Duration, *clients)
	var group sync.WaitGroup
	for c := 0; c < *clients; c++ {
		group.Add(1)
		go func(c int) {
			defer group.Done()
			client := connections[c%count]
			random := rand.New(rand.NewSource(int64(c)))
			for {
				start := time.Now()
				number := random.Intn(*keys)
				if *test == "fill" {
					number = int(atomic.AddInt64(&filled, 1)) - 1
					if number >= *keys {
						return
					}
				} else if start.After(until) {
					return
				}
				key := fmt.Sprintf("key:%012d", number)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				var err error
				if *test == "get" || (*test == "mixed" && random.Intn(100) < *readPercent) {
					_, err = client.Get(ctx, key)
				} else {
					_, err = client.Put(ctx, key, value)
				}
				cancel()
				end := time.Now()
				if err != nil {
					atomic.AddInt64(&errors, 1)
				} else if start.After(from) && end.Before(until) {
					latencies[c] = append(latencies[c], end.Sub(start))
				}
			}
		}(c)
	}
	group.Wait()
	if *test == "fill" {
		if errors > 0 {
			fmt.Fprintf(os.Stderr, "etcd_load: %d of %d keys failed\n", errors, *keys)
			os.Exit(1)
		}
		return
	}

	var merged []time.Duration
	for _, some := range latencies {
		merged = append(merged, some...)
	}
	if len(merged) == 0 {
		fmt.Fprintf(os.Stderr, "etcd_load: nothing was answered, %d errors\n", errors)
		os.Exit(1)
	}
	sort.Slice(merged, func(i, j int) bool { return merged[i] < merged[j] })
	at := func(share float64) float64 {
		return float64(merged[int(share*float64(len(merged)-1))].Nanoseconds()) / 1e6
	}
	rate := float64(len(merged)) / *seconds
	if *csv {
		fmt.Printf("%s,%d,1,%.0f,%.3f,%.3f,%.3f,%.3f,%d\n", *test, *clients, rate, at(0.5), at(0.99), at(0.999), at(1), errors)
	} else {
		fmt.Printf("%-6s %4d connections   %10.0f op/s   p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n", *test, *clients, rate, at(0.5), at(0.99), at(0.999), at(1))
	}
	if errors > 0 {
		os.Exit(1)
	}
}
