package main

import (
	"fmt"
	"runtime"
	"time"
)

type tree struct{ left, right *tree }

//go:noinline
func (t *tree) fall(secret int) {
	if t.left == nil {
		panic("down")
	}
	t.left.fall(secret)
}

//go:noinline
func deep(n int, keep *[]int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 {
		runtime.GC()
		return 0
	}
	*keep = append(*keep, n)
	return deep(n-1, keep) + room[n%64]
}

func recovered() {
	defer func() { fmt.Println("recovered", fmt.Sprint(recover())[len("runtime error: "):]) }()
	a, i := make([]int, 3), 7
	_ = a[i]
}

var turns int

//go:noinline
func turn() { turns += len(room()) }

//go:noinline
func room() []byte { return make([]byte, 16) }

func main() {
	recovered()
	var keep []int
	fmt.Println("sum", deep(100_000, &keep))
	runtime.GOMAXPROCS(1)
	go func() {
		for {
			turn()
		}
	}()
	time.Sleep(time.Millisecond)
	runtime.GC()
	fmt.Println("stopped")
	(&tree{left: &tree{}}).fall(0x5ec2e7)
}
