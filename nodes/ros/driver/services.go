//go:build ros

package driver

import (
	"errors"
	"fmt"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/nodes/runner"
)

// Names of the operator's holds.
const (
	holdOperator = "hold"
	holdRun      = "run_policy"
)

const (
	trigger = "std_srvs/srv/Trigger"
	setBool = "std_srvs/srv/SetBool"
)

var errInactive = errors.New("policy_node is not active, activate it first")

// services are what others may ask for, with the action.
type services struct {
	list []*ros.Service
	run  *ros.ActionServer
}

func (s *services) close() (err error) {
	if s.run != nil { // its goals end first
		err = s.run.Close()
	}
	for _, x := range s.list {
		err = errors.Join(err, x.Close())
	}
	return err
}

func (d *Driver) serve() (s services, err error) {
	for _, x := range []struct {
		name, typ string
		do        func(req *cdr.Record) (string, error)
	}{
		{"~/reload", trigger, d.reload}, {"~/rollback", trigger, d.rollback}, {"~/rearm", trigger, d.rearm},
		{"~/stop", trigger, d.stop}, {"~/hold", setBool, d.hold},
	} {
		service, err := d.n.Serve(d.states, x.name, x.typ, func(req, resp *cdr.Record) error {
			text, err := x.do(req)
			if err != nil {
				text = err.Error()
			}
			return errors.Join(resp.Set("success", err == nil), resp.Set("message", text))
		})
		if err != nil {
			return s, errors.Join(err, s.close())
		}
		s.list = append(s.list, service)
	}
	runs := &runs{d: d}
	s.run, err = d.n.ServeAction(d.states, "~/run_policy", "arfm/action/RunPolicy", ros.Goals{Accept: runs.accept, Execute: runs.execute})
	if err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

// reload tries the checkpoints in the folder now.
func (d *Driver) reload(*cdr.Record) (string, error) {
	d.board.set(func() { d.board.refusal = "" })
	e, err := d.watcher.Reload()
	refused := d.board.refused() // of younger files than the one in e
	d.watched(e)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s: %s, step %d, sha256 %.12s", e.Kind, e.Path, e.Step, e.Hash)
	if refused != "" {
		text += "; refused: " + refused
	}
	return text, nil
}

// rollback brings the weights before back.
func (d *Driver) rollback(*cdr.Record) (string, error) {
	if err := d.slot.Rollback(); err != nil {
		return "", err
	}
	d.board.set(func() { d.board.back++ })
	info := d.slot.Current().Info()
	text := fmt.Sprintf("rolled back to step %d, sha256 %.12s", info.Step, info.Hash)
	d.journal.info(text)
	return text, nil
}

func (d *Driver) stop(*cdr.Record) (string, error) {
	if !d.active.Load() {
		return "", errInactive
	}
	d.drain() // a stop waits for nothing; what else was asked for ends with it
	d.tell(runner.Stop("~/stop was called"))
	d.journal.warn("~/stop was called")
	return "stops; call ~/rearm to go on", nil
}

func (d *Driver) rearm(*cdr.Record) (string, error) {
	if !d.active.Load() {
		return "", errInactive
	}
	if err := d.busy(); err != nil {
		return "", err
	}
	d.holds.rearm()
	d.journal.info("~/rearm was called")
	return "goes on from where the arm is", nil
}

func (d *Driver) hold(req *cdr.Record) (string, error) {
	if !d.active.Load() {
		return "", errInactive
	}
	if err := d.busy(); err != nil {
		return "", err
	}
	if on, _ := req.Lookup("data"); on == true {
		d.holds.hold(holdOperator, "~/hold was called")
		return "holds", nil
	}
	d.holds.release(holdOperator, holdRun, holdController)
	if state, _, _ := d.board.state(); state == stateStopped {
		return "", errors.New("it is stopped, call ~/rearm")
	}
	if why := d.holds.reason(); why != "" {
		return "still holds: " + why, nil
	}
	return "goes on", nil
}
