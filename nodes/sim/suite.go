package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Suite is a set of tasks in one kind of scene, told apart by the instruction.
// The four suites ask for what LIBERO's of the same names ask for.
type Suite struct {
	Name        string
	About       string // what tells its tasks apart
	Tasks       []Task
	TimeLimit   int // periods
	Objects     []Object
	Fixtures    []Fixture
	objectSpots []vec // where objects stand, before jitter
	fixtureAt   map[Fixture]vec
	jitter      float64 // of every place, m: uniform within +-jitter in x and y
	shuffle     bool    // objects take their spots at random
}

// Task is one instruction of a suite.
type Task struct {
	Instruction string
	goals       func(l *layout) []goal
	// spot is where the object that the instruction means stands, for tasks
	// that tell objects apart by their place; else -1.
	spot int
}

// layout is one draw of a suite's scene.
type layout struct {
	objects  []vec // where they stand
	fixtures map[Fixture]vec
	target   int // the object on the task's spot
}

func cube(name string, r, g, b float64) Object {
	return Object{name, Box, vec{0.02, 0.02, 0.02}, 0.06, vec{r, g, b}}
}

var (
	redCube  = cube("red cube", 0.82, 0.10, 0.08)
	blueCube = cube("blue cube", 0.10, 0.22, 0.80)
)

// The spots of the suites with one basket: a cross about the middle, so far
// apart that the gripper takes one object without touching another.
var (
	crossSpots  = []vec{{0.49, 0.07}, {0.49, 0.22}, {0.49, -0.07}, {0.36, 0.07}, {0.62, 0.07}}
	crossFixed  = map[Fixture]vec{Basket: {0.47, -0.25}}
	crossNames  = []string{"in the middle", "on the left", "on the right", "at the front", "at the back"}
	deskSpots   = []vec{{0.39, -0.02}, {0.39, -0.14}}
	deskFixed   = map[Fixture]vec{Basket: {0.54, -0.24}, Plate: {0.54, 0.03}, Drawer: {0.56, 0.27}, Button: {0.36, 0.13}}
	deskObjects = []Object{redCube, blueCube}
)

// Suites are all suites, in the order of difficulty.
var Suites = []Suite{spatialSuite(), objectSuite(), goalSuite(), longSuite()}

// FindSuite returns the suite of that name.
func FindSuite(name string) (*Suite, error) {
	var names []string
	for i := range Suites {
		if Suites[i].Name == name {
			return &Suites[i], nil
		}
		names = append(names, Suites[i].Name)
	}
	return nil, fmt.Errorf("sim: there is no suite %q; choose one of %s", name, strings.Join(names, ", "))
}

func spatialSuite() Suite {
	s := Suite{
		Name: "spatial", About: "the same object at another place", TimeLimit: 10 * RateHz,
		Objects: []Object{redCube, redCube}, Fixtures: []Fixture{Basket},
		objectSpots: crossSpots, fixtureAt: crossFixed, jitter: 0.02, shuffle: true,
	}
	for i, name := range crossNames {
		s.Tasks = append(s.Tasks, Task{
			Instruction: "put the red cube " + name + " into the basket", spot: i,
			goals: func(l *layout) []goal { return []goal{place{object: l.target, at: Basket}} },
		})
	}
	return s
}

func objectSuite() Suite {
	s := Suite{
		Name: "object", About: "another object of the same scene", TimeLimit: 10 * RateHz,
		Objects: []Object{
			redCube,
			{"green can", Cylinder, vec{0.021, 0.028}, 0.07, vec{0.12, 0.55, 0.20}},
			{"blue box", Box, vec{0.017, 0.017, 0.034}, 0.07, vec{0.10, 0.22, 0.80}},
			{"yellow brick", Box, vec{0.03, 0.016, 0.016}, 0.06, vec{0.90, 0.75, 0.10}},
			{"white ball", Sphere, vec{0.022}, 0.04, vec{0.92, 0.92, 0.95}},
		},
		Fixtures: []Fixture{Basket}, objectSpots: crossSpots, fixtureAt: crossFixed, jitter: 0.025,
	}
	for i, o := range s.Objects {
		s.Tasks = append(s.Tasks, Task{
			Instruction: "put the " + o.Name + " into the basket", spot: -1,
			goals: func(*layout) []goal { return []goal{place{object: i, at: Basket}} },
		})
	}
	return s
}

// desk is what the goal and long suites share: one scene, many things to do.
func desk(name, about string, limit int, tasks ...Task) Suite {
	for i := range tasks {
		tasks[i].spot = -1
	}
	return Suite{
		Name: name, About: about, TimeLimit: limit, Tasks: tasks, Objects: deskObjects, Fixtures: Fixtures,
		objectSpots: deskSpots, fixtureAt: deskFixed, jitter: 0.02,
	}
}

func task(instruction string, goals ...goal) Task {
	return Task{Instruction: instruction, goals: func(*layout) []goal { return goals }}
}

func goalSuite() Suite {
	return desk("goal", "another goal in the same scene", 10*RateHz,
		task("put the red cube onto the plate", place{object: 0, at: Plate}),
		task("put the blue cube into the basket", place{object: 1, at: Basket}),
		task("stack the red cube on the blue cube", stack{0, 1}),
		task("open the drawer", open{}),
		task("press the button", press{}),
	)
}

func longSuite() Suite {
	return desk("long", "two goals one after the other", 18*RateHz,
		task("press the button and put the red cube onto the plate", press{}, place{object: 0, at: Plate}),
		task("put the red cube and the blue cube into the basket", place{0, Basket, -0.028}, place{1, Basket, 0.028}),
		task("open the drawer and put the red cube into it", open{}, place{object: 0, at: Drawer}),
		task("put the blue cube onto the plate and stack the red cube on it", place{object: 1, at: Plate}, stack{0, 1}),
		task("open the drawer and press the button", open{}, press{}),
	)
}

// draw lays the scene out for a task.
func (s *Suite) draw(t *Task, rng *rand.Rand) *layout {
	l := &layout{fixtures: map[Fixture]vec{}}
	shift := func(p vec) vec {
		return vec{p[0] + s.jitter*(2*rng.Float64()-1), p[1] + s.jitter*(2*rng.Float64()-1), p[2]}
	}
	spots := make([]int, len(s.objectSpots))
	for i := range spots {
		spots[i] = i
	}
	if s.shuffle {
		rng.Shuffle(len(spots), func(i, j int) { spots[i], spots[j] = spots[j], spots[i] })
	}
	if t.spot >= 0 { // one of the objects, either, stands on the spot that is told
		l.target = rng.IntN(len(s.Objects))
		for i, at := range spots {
			if at == t.spot {
				spots[i], spots[l.target] = spots[l.target], spots[i]
				break
			}
		}
	}
	for i, o := range s.Objects {
		p := shift(s.objectSpots[spots[i]])
		p[2] = tableTop + o.Rest()
		l.objects = append(l.objects, p)
	}
	for _, f := range s.Fixtures {
		l.fixtures[f] = shift(s.fixtureAt[f])
	}
	return l
}
