package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"arfm/policy/contract"
	"arfm/policy/vla"
)

// The metadata of a checkpoint, all strings, beside the two sums.
const (
	keyFormat    = "format"       // "arfm"
	keyVersion   = "version"      // of the format
	keyConfig    = "architecture" // JSON of vla.Config
	keyContract  = "contract"     // canonical YAML
	keyStats     = "statistics"   // JSON of contract.Stats
	keyObjective = "objective"
	keyStep      = "step"
	keyParent    = "parent" // hash of the parent, or empty
	keyProbe     = "probe"  // JSON of Probe

	formatName = "arfm"
	// FormatVersion is the version of the format that Save writes and the
	// newest that Load reads.
	FormatVersion = 1
)

type metadata struct {
	config    vla.Config
	contract  *contract.Contract
	stats     *contract.Stats
	objective string
	step      int64
	parent    string
	probe     *Probe
}

var (
	hashForm = regexp.MustCompile(`^([0-9a-f]{64})?$`)
	wordForm = regexp.MustCompile(`^[A-Za-z0-9_.+-]{0,64}$`)
)

func (m *metadata) encode() (map[string]string, error) {
	out := map[string]string{
		keyFormat: formatName, keyVersion: strconv.Itoa(FormatVersion), keyContract: string(m.contract.YAML()),
		keyObjective: m.objective, keyStep: strconv.FormatInt(m.step, 10), keyParent: m.parent,
	}
	for key, v := range map[string]any{keyConfig: m.config, keyStats: m.stats, keyProbe: m.probe} {
		text, err := json.Marshal(v)
		if err != nil { // NaN or infinity
			return nil, fmt.Errorf("%w (%s: %v)", ErrNotFinite, key, err)
		}
		out[key] = string(text)
	}
	_, err := decodeMetadata(out) // what is written must be readable
	return out, err
}

// decodeMetadata reads a checkpoint's metadata. The errors are bare: the
// caller adds the file's name.
func decodeMetadata(in map[string]string) (*metadata, error) {
	if in[keyFormat] != formatName {
		return nil, fmt.Errorf("%w (its format is %.20q)", ErrFormat, in[keyFormat])
	}
	if v, err := strconv.Atoi(in[keyVersion]); err != nil || v != FormatVersion {
		return nil, fmt.Errorf("%w (version %.20q, this build reads %d)", ErrVersion, in[keyVersion], FormatVersion)
	}
	m := &metadata{objective: in[keyObjective], parent: in[keyParent]}
	if err := strict(in[keyConfig], &m.config); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrArchitecture, err)
	}
	if err := m.config.Validate(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrArchitecture, err)
	}
	var err error
	if m.contract, err = contract.Parse([]byte(in[keyContract])); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrContract, err)
	}
	if err := strict(in[keyStats], &m.stats); err != nil || m.stats == nil {
		return nil, fmt.Errorf("%w (%v)", ErrStats, err)
	}
	if m.step, err = strconv.ParseInt(in[keyStep], 10, 64); err != nil || m.step < 0 {
		return nil, fmt.Errorf("%w (step %.40q)", ErrFormat, in[keyStep])
	}
	if !hashForm.MatchString(m.parent) || !wordForm.MatchString(m.objective) {
		return nil, fmt.Errorf("%w (parent %.80q, objective %.80q)", ErrFormat, m.parent, m.objective)
	}
	if err := strict(in[keyProbe], &m.probe); err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrProbe, err)
	}
	if err := m.probe.fits(m.config); err != nil {
		return nil, err
	}
	return m, nil
}

// strict decodes JSON of known fields only: a field that a newer build added
// would change what the file means.
func strict(text string, v any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("something follows the JSON value")
	}
	return nil
}
