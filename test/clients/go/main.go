// A client that nobody of this project wrote, etcd's own clientv3 with its recipes, walked through
// what applications do with it. It prints one line per finding, without anything that differs from
// run to run, so that what two servers printed can be compared line by line.
//
//	program <endpoint>[,<endpoint>...]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"
)

var base int64

func say(form string, values ...any) { fmt.Printf(form+"\n", values...) }

func fail(err error) {
	if err != nil {
		panic(err)
	}
}

// kind is what an application can tell from an error.
func kind(err error) string {
	if err == nil {
		return "none"
	}
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return fmt.Sprintf("etcd %s: %s", known.Code(), known.Error())
	}
	if s, ok := status.FromError(err); ok {
		return fmt.Sprintf("grpc %s: %s", s.Code(), s.Message())
	}
	return "other: " + err.Error()
}

func rev(r int64) string { return fmt.Sprintf("r%+d", r-base) }

func connect(endpoints []string) *clientv3.Client {
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
	fail(err)
	return c
}

func main() {
	endpoints := strings.Split(os.Args[1], ",")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	c := connect(endpoints)
	defer c.Close()
	keys(c, ctx)
	watches(c, ctx)
	leases(c, ctx)
	locks(c, ctx)
	wrappers(c, endpoints, ctx)
	cluster(c, endpoints, ctx)
	users(c, endpoints, ctx)
	say("done")
}
