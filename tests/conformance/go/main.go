// Makes the calls of a conformance plan with the generated Go code, and reports their outcomes.
//
// README.md in the folder above describes the plan and the outcomes.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: runner PLAN OUTCOMES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes the calls of a plan, one after the other, and writes their outcomes.
func run(planPath, outcomesPath string) error {
	data, err := os.ReadFile(planPath)
	if err != nil {
		return err
	}
	var plan Plan
	if err := json.Unmarshal(data, &plan); err != nil {
		return fmt.Errorf("%s: %w", planPath, err)
	}
	if plan.Transport != "grpc" {
		return fmt.Errorf("this runner has no transport %q, only grpc", plan.Transport)
	}
	var outcomes []*Outcome
	for i := range plan.Cases {
		outcomes = append(outcomes, plan.Cases[i].runAtOnce()...)
	}
	data, err = json.MarshalIndent(map[string]any{"outcomes": outcomes}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(outcomesPath, data, 0o644)
}

// runAtOnce makes the call of a case as often as planned, at the same time, and returns the outcomes.
func (c *Case) runAtOnce() []*Outcome {
	outcomes := make([]*Outcome, max(1, c.AtOnce))
	var calls sync.WaitGroup
	for i := range outcomes {
		calls.Go(func() { outcomes[i] = c.run() })
	}
	calls.Wait()
	return outcomes
}
