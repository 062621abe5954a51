package ur5e

import (
	"encoding/xml"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"arfm/bags/bagtest"
)

// urdf is as much of a robot description as a chain needs.
type urdf struct {
	Joints []struct {
		Name   string `xml:"name,attr"`
		Type   string `xml:"type,attr"`
		Parent struct {
			Link string `xml:"link,attr"`
		} `xml:"parent"`
		Child struct {
			Link string `xml:"link,attr"`
		} `xml:"child"`
		Origin struct {
			XYZ string `xml:"xyz,attr"`
			RPY string `xml:"rpy,attr"`
		} `xml:"origin"`
		Limit struct {
			Lower    float64 `xml:"lower,attr"`
			Upper    float64 `xml:"upper,attr"`
			Velocity float64 `xml:"velocity,attr"`
			Effort   float64 `xml:"effort,attr"`
		} `xml:"limit"`
	} `xml:"joint"`
}

// origin is x y z roll pitch yaw as a transform.
func origin(xyz, rpy [3]float64) [4][4]float64 {
	axis := func(a float64, i, j int) (m [4][4]float64) {
		for k := range m {
			m[k][k] = 1
		}
		m[i][i], m[j][j], m[i][j], m[j][i] = math.Cos(a), math.Cos(a), -math.Sin(a), math.Sin(a)
		return m
	}
	m := mul4(mul4(axis(rpy[2], 0, 1), axis(rpy[1], 2, 0)), axis(rpy[0], 1, 2))
	for i := range 3 {
		m[i][3] = xyz[i]
	}
	return m
}

func triple(t *testing.T, s string) (v [3]float64) {
	t.Helper()
	if n, err := fmt.Sscan(s, &v[0], &v[1], &v[2]); n != 3 {
		t.Fatalf("three numbers wanted in %q: %v", s, err)
	}
	return v
}

// chain walks the description from tool0 up to base_link.
func (u *urdf) chain(t *testing.T, q map[string]float64) Pose {
	at := origin([3]float64{}, [3]float64{})
	for link := "tool0"; link != "base_link"; {
		up := ""
		for _, j := range u.Joints {
			if j.Child.Link != link {
				continue
			}
			here := origin(triple(t, j.Origin.XYZ), triple(t, j.Origin.RPY))
			if j.Type == "revolute" {
				here = mul4(here, origin([3]float64{}, [3]float64{0, 0, q[j.Name]}))
			}
			at, up = mul4(here, at), j.Parent.Link
		}
		if up == "" {
			t.Fatalf("no joint carries %s", link)
		}
		link = up
	}
	return pose4(at)
}

func TestAgreesWithURDF(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(bagtest.Shared(t, "robots"), "ur5e_plain_urdf", "ur5e.urdf"))
	if err != nil {
		t.Fatal(err)
	}
	var u urdf
	if err := xml.Unmarshal(b, &u); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 9))
	for range 200 {
		q, named := random(r), map[string]float64{}
		for j, l := range Links {
			named[l.Joint] = q[j]
		}
		// The description writes its quarter turns with ten digits.
		if d := apart(Forward(q), u.chain(t, named)); d > 2e-9 {
			t.Fatalf("at %v the description is %g away", q, d)
		}
	}
	found := 0
	for _, j := range u.Joints {
		for _, l := range Links {
			if l.Joint != j.Name {
				continue
			}
			found++
			got := [4]float64{l.Lower, l.Upper, l.Velocity, l.Effort}
			if want := [4]float64{j.Limit.Lower, j.Limit.Upper, j.Limit.Velocity, j.Limit.Effort}; got != want || l.Name != j.Child.Link {
				t.Errorf("%s carries %s with limits %v; the description has %s and %v", l.Joint, l.Name, got, j.Child.Link, want)
			}
		}
	}
	if found != Joints {
		t.Errorf("%d of 6 joints are in the description", found)
	}
}

func TestAgreesWithParameters(t *testing.T) {
	robots := bagtest.Shared(t, "robots")
	type xyz struct{ X, Y, Z, Roll, Pitch, Yaw float64 }
	var physical struct {
		Inertia struct {
			Rest map[string]any                                            `yaml:",inline"`
			COM  map[string]xyz                                            `yaml:"center_of_mass"`
			Turn map[string]xyz                                            `yaml:"rotation"`
			Of   map[string]struct{ Ixx, Iyy, Izz, Ixy, Ixz, Iyz float64 } `yaml:"tensor"`
		} `yaml:"inertia_parameters"`
	}
	load(t, filepath.Join(robots, "ur_description/config/ur5e/physical_parameters.yaml"), &physical)
	for _, l := range Links {
		part := l.Name[:len(l.Name)-len("_link")]
		if m := physical.Inertia.Rest[part+"_mass"]; m != l.Mass {
			t.Errorf("%s: mass %v, published %v", l.Name, l.Mass, m)
		}
		if c := physical.Inertia.COM[part+"_cog"]; l.COM != [3]float64{c.X, c.Y, c.Z} {
			t.Errorf("%s: centre of mass %v, published %v", l.Name, l.COM, c)
		}
		i, turned := physical.Inertia.Of[part], physical.Inertia.Turn[part]
		want := origin([3]float64{}, [3]float64{turned.Roll, turned.Pitch, turned.Yaw})
		if d := apart(Pose{Rot: matrix(l.InertiaQuat)}, pose4(want)); d > 1e-12 {
			t.Errorf("%s: the inertia's frame is %g off", l.Name, d)
		}
		for k, m := range [3]float64{i.Ixx, i.Iyy, i.Izz} {
			if math.Abs(l.Inertia[k]-m) > 1e-15 || m == 0 {
				t.Errorf("%s: moment %d is %v, published %v", l.Name, k, l.Inertia[k], m)
			}
		}
		if i.Ixy != 0 || i.Ixz != 0 || i.Iyz != 0 {
			t.Errorf("%s: the published moments are not principal", l.Name)
		}
	}
}

func load(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
