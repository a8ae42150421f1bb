package main

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

func leases(c *clientv3.Client, ctx context.Context) {
	say("# leases")
	l, err := c.Grant(ctx, 9)
	fail(err)
	for _, k := range []string{"go/l2", "go/l1"} {
		_, err = c.Put(ctx, k, "", clientv3.WithLease(l.ID))
		fail(err)
	}
	ttl, err := c.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
	fail(err)
	attached := []string{}
	for _, k := range ttl.Keys {
		attached = append(attached, string(k))
	}
	sort.Strings(attached)
	say("ttl %d near=%v keys=%v", ttl.GrantedTTL, ttl.TTL > 5, attached)
	once, err := c.KeepAliveOnce(ctx, l.ID)
	fail(err)
	say("renewed %d", once.TTL)
	alive, err := c.KeepAlive(ctx, l.ID)
	fail(err)
	say("alive %d", (<-alive).TTL)
	all, err := c.Leases(ctx)
	fail(err)
	found := false
	for _, s := range all.Leases {
		found = found || s.ID == l.ID
	}
	say("listed %v", found)
	_, err = c.Revoke(ctx, l.ID)
	fail(err)
	g, err := c.Get(ctx, "go/l", clientv3.WithPrefix())
	fail(err)
	say("left %d", g.Count)
	for range alive {
	}
	say("keepalive ended")
	_, err = c.Revoke(ctx, l.ID)
	say("error %s", kind(err))
	_, err = c.KeepAliveOnce(ctx, l.ID)
	say("error %s", kind(err))
	ttl, err = c.TimeToLive(ctx, l.ID)
	fail(err)
	say("gone %d", ttl.TTL)
	_, err = c.Grant(ctx, 9000000001)
	say("error %s", kind(err))
	short, err := c.Grant(ctx, 1)
	fail(err)
	say("short %d", short.TTL)
	expiring := c.Watch(ctx, "go/expires")
	_, err = c.Put(ctx, "go/expires", "", clientv3.WithLease(short.ID))
	fail(err)
	for r := range expiring {
		if r.Events[len(r.Events)-1].Type == clientv3.EventTypeDelete {
			say("expired")
			break
		}
	}
}

func locks(c *clientv3.Client, ctx context.Context) {
	say("# concurrency")
	var wait sync.WaitGroup
	inside, most, entered := 0, 0, 0
	var guard sync.Mutex
	for i := 0; i < 8; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			s, err := concurrency.NewSession(c, concurrency.WithTTL(10))
			fail(err)
			defer s.Close()
			m := concurrency.NewMutex(s, "go/lock")
			for range 3 {
				fail(m.Lock(ctx))
				guard.Lock()
				inside++
				entered++
				most = max(most, inside)
				guard.Unlock()
				guard.Lock()
				inside--
				guard.Unlock()
				fail(m.Unlock(ctx))
			}
		}()
	}
	wait.Wait()
	say("mutex entered %d, at once %d", entered, most)
	one, err := concurrency.NewSession(c)
	fail(err)
	two, err := concurrency.NewSession(c)
	fail(err)
	held := concurrency.NewMutex(one, "go/try")
	fail(held.TryLock(ctx))
	say("trylock %v", concurrency.NewMutex(two, "go/try").TryLock(ctx))
	t, err := c.Txn(ctx).If(held.IsOwner()).Then(clientv3.OpPut("go/owned", "")).Commit()
	fail(err)
	say("owner %v", t.Succeeded)
	_, err = c.Revoke(ctx, one.Lease())
	fail(err)
	<-one.Done()
	fail(concurrency.NewMutex(two, "go/try").Lock(ctx))
	say("lost session lets the next one in")

	a, err := concurrency.NewSession(c)
	fail(err)
	first, second := concurrency.NewElection(a, "go/elect"), concurrency.NewElection(two, "go/elect")
	_, err = first.Leader(ctx)
	say("leader: %v", err)
	fail(first.Campaign(ctx, "A"))
	observed := second.Observe(ctx)
	say("observed %s", (<-observed).Kvs[0].Value)
	fail(first.Proclaim(ctx, "A2"))
	say("observed %s", (<-observed).Kvs[0].Value)
	won := make(chan error, 1)
	go func() { won <- second.Campaign(ctx, "B") }()
	fail(first.Resign(ctx))
	fail(<-won)
	say("observed %s", (<-observed).Kvs[0].Value)
	say("proclaim: %v", first.Proclaim(ctx, "A3"))
	fail(second.Resign(ctx))

	for i := range 5 {
		_, err = c.Put(ctx, fmt.Sprintf("go/stm/%d", i), "100")
		fail(err)
	}
	for i := range 10 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			from, to := fmt.Sprintf("go/stm/%d", i%5), fmt.Sprintf("go/stm/%d", (i*3+1)%5)
			if from == to {
				return
			}
			_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				f, _ := strconv.Atoi(s.Get(from))
				t, _ := strconv.Atoi(s.Get(to))
				s.Put(from, strconv.Itoa(f-10))
				s.Put(to, strconv.Itoa(t+10))
				return nil
			})
			fail(err)
		}()
	}
	wait.Wait()
	g, err := c.Get(ctx, "go/stm/", clientv3.WithPrefix())
	fail(err)
	sum := 0
	for _, kv := range g.Kvs {
		v, _ := strconv.Atoi(string(kv.Value))
		sum += v
	}
	say("stm sum %d", sum)
}

func wrappers(c *clientv3.Client, endpoints []string, ctx context.Context) {
	say("# wrappers")
	plain := c.KV
	kv, w := namespace.NewKV(c.KV, "go/ns/"), namespace.NewWatcher(c.Watcher, "go/ns/")
	wctx, cancel := context.WithCancel(ctx)
	seen := w.Watch(wctx, "", clientv3.WithPrefix())
	_, err := kv.Put(ctx, "x", "1")
	fail(err)
	g, err := kv.Get(ctx, "", clientv3.WithFromKey())
	fail(err)
	say("inside %s of %d", g.Kvs[0].Key, g.Count)
	say("event %s", (<-seen).Events[0].Kv.Key)
	cancel()
	g, err = plain.Get(ctx, "go/ns/", clientv3.WithPrefix())
	fail(err)
	say("outside %s", g.Kvs[0].Key)

	ordered := ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
	for range 5 {
		_, err = ordered.Get(ctx, "go/ns/x", clientv3.WithSerializable())
		fail(err)
	}
	say("ordered")

	lkv, closeLeasing, err := leasing.NewKV(c, "go/leasing/")
	fail(err)
	for i := range 3 {
		_, err = lkv.Put(ctx, "go/cached", strconv.Itoa(i))
		fail(err)
		g, err = lkv.Get(ctx, "go/cached")
		fail(err)
		say("cached %s", g.Kvs[0].Value)
	}
	_, err = c.Put(ctx, "go/cached2", "other")
	fail(err)
	closeLeasing()

	sync := mirror.NewSyncer(c, "go/", 0)
	total := 0
	pages, errs := sync.SyncBase(ctx)
	for page := range pages {
		total += len(page.Kvs)
	}
	fail(<-errs)
	g, err = c.Get(ctx, "go/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	fail(err)
	say("mirrored all=%v", int64(total) == g.Count)
	fail(c.Sync(ctx))
	say("synced endpoints %d", len(c.Endpoints()))
	c.SetEndpoints(endpoints...)
}
