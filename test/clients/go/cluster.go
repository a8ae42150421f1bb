package main

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func cluster(c *clientv3.Client, endpoints []string, ctx context.Context) {
	say("# cluster")
	members, err := c.MemberList(ctx)
	fail(err)
	say("members %d revision %d", len(members.Members), members.Header.Revision)
	_, err = c.MemberRemove(ctx, 1)
	say("error %s", kind(err))
	_, err = c.MemberPromote(ctx, members.Members[0].ID)
	say("error %s", kind(err))
	_, err = c.MemberAdd(ctx, members.Members[0].PeerURLs)
	say("error %s", kind(err))
	_, err = c.MemberAdd(ctx, []string{"bad"})
	say("error %s", kind(err))
	for _, e := range endpoints {
		s, err := c.Status(ctx, e)
		fail(err)
		say("status %s %s errors=%v learner=%v", s.Version, s.StorageVersion, s.Errors, s.IsLearner)
		h, err := c.HashKV(ctx, e, 0)
		fail(err)
		say("hash compacted at %s", rev(h.CompactRevision))
		_, err = c.Defragment(ctx, e)
		fail(err)
	}
	alarms, err := c.AlarmList(ctx)
	fail(err)
	say("alarms %d", len(alarms.Alarms))
	_, err = c.MoveLeader(ctx, 1)
	say("error %s", kind(err))
	snap, err := c.SnapshotWithVersion(ctx)
	fail(err)
	size := 0
	block := make([]byte, 65536)
	for {
		n, err := snap.Snapshot.Read(block)
		size += n
		if err != nil {
			break
		}
	}
	say("snapshot version %s with hash %v", snap.Version, size%512 == 32)
	say("downgrade %s", func() string {
		_, err := c.Downgrade(ctx, clientv3.DowngradeValidate, "3.2")
		return kind(err)
	}())
}

func users(c *clientv3.Client, endpoints []string, ctx context.Context) {
	say("# users")
	_, err := c.AuthEnable(ctx)
	say("error %s", kind(err))
	_, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "root", Password: "x",
		DialTimeout: 5 * time.Second})
	say("login while off: %s", kind(err))
	_, err = c.UserAdd(ctx, "root", "r")
	fail(err)
	_, err = c.UserGrantRole(ctx, "root", "root")
	fail(err)
	_, err = c.RoleAdd(ctx, "reader")
	fail(err)
	_, err = c.RoleGrantPermission(ctx, "reader", "go/", clientv3.GetPrefixRangeEnd("go/"),
		clientv3.PermissionType(clientv3.PermRead))
	fail(err)
	_, err = c.UserAdd(ctx, "u", "p")
	fail(err)
	_, err = c.UserGrantRole(ctx, "u", "reader")
	fail(err)
	_, err = c.AuthEnable(ctx)
	fail(err)
	_, err = c.Get(ctx, "go/a")
	say("error %s", kind(err))
	_, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "u", Password: "bad",
		DialTimeout: 5 * time.Second})
	say("error %s", kind(err))
	u, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "u", Password: "p"})
	fail(err)
	root, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "root", Password: "r"})
	fail(err)
	_, err = u.Get(ctx, "go/a")
	say("read %s", kind(err))
	_, err = u.Put(ctx, "go/a", "")
	say("write %s", kind(err))
	_, err = u.Get(ctx, "other")
	say("other %s", kind(err))
	r := <-u.Watch(ctx, "other")
	say("watch %v %s", r.Canceled, kind(r.Err()))
	_, err = u.UserList(ctx)
	say("list %s", kind(err))
	_, err = root.UserChangePassword(ctx, "u", "p2")
	fail(err)
	_, err = u.Get(ctx, "go/a")
	say("after the password changed %s", kind(err))
	_, err = root.RoleRevokePermission(ctx, "reader", "go/", clientv3.GetPrefixRangeEnd("go/"))
	fail(err)
	s, err := root.AuthStatus(ctx)
	fail(err)
	say("auth %v revision %d", s.Enabled, s.AuthRevision)
	_, err = root.UserDelete(ctx, "root")
	say("error %s", kind(err))
	_, err = root.AuthDisable(ctx)
	fail(err)
	_, err = c.Get(ctx, "go/a")
	say("off %s", kind(err))
	for _, name := range []string{"root", "u"} {
		_, err = c.UserDelete(ctx, name)
		fail(err)
	}
	_, err = c.RoleDelete(ctx, "reader")
	fail(err)
	u.Close()
	root.Close()
}
