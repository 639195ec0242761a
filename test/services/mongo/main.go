// A MongoDB-protocol server for tests: FerretDB with SQLite inside, in one process, without authentication.
// It exists because neither Debian nor npm has a mongod. Usage: neko-mongo -addr 127.0.0.1:0 -dir /tmp/x
// [-tls-addr 127.0.0.1:0 -tls-cert file -tls-key file]. Data survives a kill -9 in -dir.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:27017", "address to listen on")
	dir := flag.String("dir", "", "directory of the data")
	tlsAddr := flag.String("tls-addr", "", "address of the TLS listener")
	tlsCert := flag.String("tls-cert", "", "its certificate")
	tlsKey := flag.String("tls-key", "", "its key")
	flag.Parse()
	if *dir == "" {
		log.Fatal("-dir is needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *addr, TLS: *tlsAddr, TLSCertFile: *tlsCert, TLSKeyFile: *tlsKey},
		Handler:   "sqlite",
		SQLiteURL: "file:" + *dir + "/",
		// At Warn it prints every failed reply, and tests provoke many.
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
