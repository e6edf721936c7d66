package main

import (
	"math/rand/v2"
)

// generate returns the case that a seed and an index stand for.
func generate(seed, index uint64) Case {
	r := rand.New(rand.NewPCG(seed, index))
	kinds := vocabulary()
	order := names(kinds)
	total := 0
	for _, name := range order {
		total += kinds[name].weight
	}
	var c Case
	had := map[string]int{}
	// Few features make a difference easy to see, many make them meet.
	for range 1 + r.IntN(3) + r.IntN(4) {
		at := r.IntN(total)
		for _, name := range order {
			if at -= kinds[name].weight; at >= 0 {
				continue
			}
			if had[name] < kinds[name].most {
				had[name]++
				c = append(c, Feature{name, kinds[name].pick(r)})
			}
			break
		}
	}
	return c
}
