package critic_test

import (
	"fmt"
	"math/rand/v2"

	"arfm/finetune/critic"
)

// bandit is one place with two actions: the second pays 1.
type bandit struct{}

func (bandit) Sizes() (observation, chunk int) { return 1, 1 }
func (bandit) Known() []int                    { return []int{0, 1} }
func (bandit) Observe(dst []float32, k int)    { dst[0] = 1 }
func (bandit) Actions(dst []float32, k int)    { dst[0] = float32(k) }
func (bandit) Follow(k int) critic.Transition  { return critic.Transition{Reward: float32(k)} }

func Example() {
	o := critic.DefaultOptions()
	o.Width, o.Batch, o.Rate, o.Polyak, o.Expectile = 16, 16, 1e-2, 0.1, 0.5
	c, err := critic.New(o, bandit{}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		panic(err)
	}
	r := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		if err := c.Update(r); err != nil {
			panic(err)
		}
	}
	adv := make([]float32, 2)
	c.Advantage(adv, []int{0, 1})
	fmt.Printf("%.1f\n", adv)
	// Output: [-0.5 0.5]
}
