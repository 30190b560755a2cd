/** Runs a plan and returns its outcomes, both as JSON. Defined by browser.ts inside the page. */
declare var runPlan: (plan: string) => Promise<string>;
