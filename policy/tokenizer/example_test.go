package tokenizer_test

import (
	"fmt"
	"log"

	"arfm/policy/tokenizer"
)

func Example() {
	tok, err := tokenizer.Open("testdata/wordpiece.json")
	if err != nil {
		log.Fatal(err)
	}
	e, err := tok.Padded("Pick up the red block!", 10)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.IDs)
	fmt.Println(e.Mask)
	// Output:
	// [2 5 97 130 54 37 41 105 70 3]
	// [1 1 1 1 1 1 1 1 1 1]
}
