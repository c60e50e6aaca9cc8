package msg

// A table is a language's texts. In the program that is shipped it is one string (scripts/pack).
type table [count]string

func (t *table) at(m M) string { return t[m] }
