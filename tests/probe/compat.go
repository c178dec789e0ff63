// A 32-bit program that sends and receives: built with GOARCH=386.
package main

import (
	"io"
	"net"
)

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		server, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		buffer := make([]byte, 9)
		if _, err := io.ReadFull(server, buffer); err != nil {
			panic(err)
		}
		if _, err := server.Write([]byte("pong")); err != nil {
			panic(err)
		}
	}()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	// writev
	vector := net.Buffers{[]byte("ping"), []byte("-pong")}
	if _, err := vector.WriteTo(client); err != nil {
		panic(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		panic(err)
	}
}
