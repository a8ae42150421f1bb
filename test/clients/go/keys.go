package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func keys(c *clientv3.Client, ctx context.Context) {
	say("# keys")
	p, err := c.Put(ctx, "go/a", "1")
	fail(err)
	base = p.Header.Revision
	p, err = c.Put(ctx, "go/a", "2", clientv3.WithPrevKV())
	fail(err)
	say("put prev=%s at %s", p.PrevKv.Value, rev(p.Header.Revision))
	for i := 0; i < 25; i++ {
		_, err = c.Put(ctx, fmt.Sprintf("go/k%02d", i), strconv.Itoa(i*7%25))
		fail(err)
	}
	g, err := c.Get(ctx, "go/k", clientv3.WithPrefix(), clientv3.WithLimit(3),
		clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend))
	fail(err)
	for _, kv := range g.Kvs {
		say("sorted %s=%s v%d %s", kv.Key, kv.Value, kv.Version, rev(kv.ModRevision))
	}
	say("count=%d more=%v at %s", g.Count, g.More, rev(g.Header.Revision))
	g, err = c.Get(ctx, "go/k", clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(base+5))
	fail(err)
	say("past count=%d at %s", g.Count, rev(g.Header.Revision))
	for _, op := range []clientv3.OpOption{clientv3.WithRev(base + 1000), clientv3.WithMinModRev(base + 20)} {
		g, err = c.Get(ctx, "go/", clientv3.WithPrefix(), op)
		if err != nil {
			say("error %s", kind(err))
		} else {
			say("filtered %d of %d", len(g.Kvs), g.Count)
		}
	}
	for _, of := range [][]clientv3.OpOption{clientv3.WithFirstCreate(), clientv3.WithLastRev(),
		clientv3.WithFirstKey(), clientv3.WithLastKey()} {
		g, err = c.Get(ctx, "go/", of...)
		fail(err)
		say("edge %s", g.Kvs[0].Key)
	}
	_, err = c.Put(ctx, "", "x")
	say("error %s", kind(err))
	_, err = c.Put(ctx, "go/a", "x", clientv3.WithLease(12345))
	say("error %s", kind(err))
	_, err = c.Put(ctx, "go/none", "", clientv3.WithIgnoreValue())
	say("error %s", kind(err))
	_, err = c.Put(ctx, "go/big", strings.Repeat("x", 1600000))
	say("error %s", kind(err))
	t, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value("go/a"), "=", "2"),
		clientv3.Compare(clientv3.CreateRevision("go/none"), "=", 0),
		clientv3.Compare(clientv3.Version("go/k").WithPrefix(), ">", 0)).
		Then(clientv3.OpPut("go/t", "1"), clientv3.OpGet("go/t"), clientv3.OpTxn(nil,
			[]clientv3.Op{clientv3.OpDelete("go/k0", clientv3.WithPrefix())}, nil)).
		Else(clientv3.OpGet("go/a")).Commit()
	fail(err)
	say("txn %v got=%s deleted=%d at %s", t.Succeeded, t.Responses[1].GetResponseRange().Kvs[0].Value,
		t.Responses[2].GetResponseTxn().Responses[0].GetResponseDeleteRange().Deleted, rev(t.Header.Revision))
	_, err = c.Txn(ctx).Then(clientv3.OpPut("go/d", "1"), clientv3.OpPut("go/d", "2")).Commit()
	say("error %s", kind(err))
	ops := make([]clientv3.Op, 129)
	for i := range ops {
		ops[i] = clientv3.OpPut(fmt.Sprintf("go/o%d", i), "")
	}
	_, err = c.Txn(ctx).Then(ops...).Commit()
	say("error %s", kind(err))
}

func watches(c *clientv3.Client, ctx context.Context) {
	say("# watch")
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	past := c.Watch(ctx, "go/", clientv3.WithPrefix(), clientv3.WithRev(base), clientv3.WithPrevKV())
	n, next := 0, base
	for r := range past {
		fail(r.Err())
		for _, e := range r.Events {
			n++
			if e.Kv.ModRevision < next {
				say("out of order")
			}
			next = e.Kv.ModRevision
			if !e.IsCreate() && e.PrevKv == nil {
				say("no prevKv of %s", e.Kv.Key)
			}
		}
		if n >= 38 {
			break
		}
	}
	say("history %d events up to %s", n, rev(next))
	live := c.Watch(ctx, "go/w", clientv3.WithPrefix(), clientv3.WithFilterDelete(),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify(), clientv3.WithFragment())
	r := <-live
	say("created %v", r.Created)
	_, err := c.Txn(ctx).Then(clientv3.OpPut("go/w1", "1"), clientv3.OpPut("go/w2", "2")).Commit()
	fail(err)
	_, err = c.Delete(ctx, "go/w1")
	fail(err)
	_, err = c.Put(ctx, "go/w3", "3")
	fail(err)
	for seen := 0; seen < 3; {
		r = <-live
		for _, e := range r.Events {
			seen++
			say("%s %s create=%v modify=%v", e.Type, e.Kv.Key, e.IsCreate(), e.IsModify())
		}
	}
	fail(c.RequestProgress(ctx))
	r = <-live
	now, err := c.Get(ctx, "go/w3")
	fail(err)
	say("progress %v at now=%v", r.IsProgressNotify(), r.Header.Revision == now.Header.Revision)
	_, err = c.Compact(ctx, base+10)
	fail(err)
	r = <-c.Watch(ctx, "go/", clientv3.WithPrefix(), clientv3.WithRev(base+2))
	say("compacted %v at %s: %s", r.Canceled, rev(r.CompactRevision), kind(r.Err()))
	_, err = c.Get(ctx, "go/a", clientv3.WithRev(base+2))
	say("error %s", kind(err))
	_, err = c.Compact(ctx, base+10)
	say("error %s", kind(err))
	_, err = c.Compact(ctx, base+100000)
	say("error %s", kind(err))
	r, open := <-c.Watch(ctx, "z", clientv3.WithRange("a"))
	say("empty range open=%v: %s", open, kind(r.Err()))
}
