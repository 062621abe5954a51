// Package mujoco is the project's door to the MuJoCo physics engine, version
// 2.2 as Debian and Ubuntu package it: as much of it as the simulated arm
// needs, as plain Go. Without the build tag mujoco everything here is still
// there, but Load says which packages to install.
package mujoco

import "errors"

// Kind is a kind of thing that has a name in a model.
type Kind string

// Kinds.
const (
	Body     Kind = "body"
	Joint    Kind = "joint"
	Geom     Kind = "geom"
	Site     Kind = "site"
	Camera   Kind = "camera"
	Actuator Kind = "actuator"
)

// Errors of this package.
var (
	ErrUnavailable = errors.New("this arfm was built without the simulator: run `apt-get install libmujoco-dev libegl-dev libgl1-mesa-dri`, then `make build`")
	ErrModel       = errors.New("MuJoCo refuses the model")
	ErrDiverged    = errors.New("the simulation went unstable")
	ErrRender      = errors.New("no off-screen rendering")
)
