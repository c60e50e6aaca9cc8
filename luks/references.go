package luks

import (
	"slices"
)

// addID adds a number to the list `field` of an object in a numbered collection.
func addID(root *object, collection string, n int, field string, value int) {
	o := root.obj(collection).obj(id(n))
	l := o.list(field)
	l.items = append(l.items, str(id(value)))
}

// eachReference calls f with every list of keyslot numbers outside the keyslots.
func eachReference(root *object, f func(collection string, l *list)) {
	for _, c := range []string{"digests", "tokens"} {
		o := root.obj(c)
		for _, k := range o.keys {
			f(c, o.obj(k).list("keyslots"))
		}
	}
}

func (l *list) index(s string) int {
	return slices.IndexFunc(l.items, func(n node) bool { v, _ := stringOf(n); return v == s })
}

// dropSlot removes a keyslot, references to it, and a digest that is left with
// neither keyslots nor segments. Tokens stay, with fewer keyslots.
func dropSlot(root *object, slot int) {
	root.obj("keyslots").del(id(slot))
	eachReference(root, func(_ string, l *list) {
		if i := l.index(id(slot)); i >= 0 {
			l.items = slices.Delete(l.items, i, i+1)
		}
	})
	dropIdleDigests(root)
}

func dropIdleDigests(root *object) {
	ds := root.obj("digests")
	for _, k := range slices.Clone(ds.keys) {
		o := ds.obj(k)
		if len(o.list("keyslots").items) == 0 && len(o.list("segments").items) == 0 {
			ds.del(k)
		}
	}
}

// renameSlot gives a keyslot a free number.
func renameSlot(root *object, from, to int) {
	root.obj("keyslots").rename(id(from), id(to))
	eachReference(root, func(_ string, l *list) {
		if i := l.index(id(from)); i >= 0 {
			l.items[i] = str(id(to))
		}
	})
}

// replaceToken makes the tokens of slot from those of slot to.
func replaceToken(root *object, from, to int) {
	eachReference(root, func(c string, l *list) {
		if i := l.index(id(from)); c == "tokens" && i >= 0 && l.index(id(to)) < 0 {
			l.items[i] = str(id(to))
		}
	})
}
