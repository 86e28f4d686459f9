// What the API answers, under the names that the page uses. The shapes are made from the API's own description
// (`make lint` does it), so an answer that changes its shape is an error here and not an empty field on a screen.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type State = Schemas["interlock__safety__answer__State"];
export type Reason = Schemas["interlock__safety__answer__Reason"];
export type Answer = Schemas["interlock__safety__answer__Answer"];
export type Session = Schemas["Session"];
export type Scope = Schemas["Right"];

export type Matrix = Schemas["Grid"];
export type MatrixRow = Schemas["GridRow"];
export type Trouble = Schemas["Trouble"];
export type Standstill = Schemas["Standstill"];

export type DatasetDetail = Schemas["DatasetDetail"];
export type Contract = Schemas["ContractWords"];
export type Measures = Schemas["Measures"];
export type Measure = Schemas["Measure"];
export type LineageGraph = Schemas["LineageGraph"];

export type PartitionDetail = Schemas["PartitionDetail"];
export type Judgement = Schemas["Judgement"];
export type Finding = Schemas["Finding"];
export type Ledger = Schemas["Ledger"];
export type LedgerEntry = Schemas["Entry"];
export type Versions = Schemas["Versions"];
export type Version = Schemas["Version"];
export type Difference = Schemas["Difference"];
export type Run = Schemas["RunDetail"];

export type Runs = Schemas["Page_RunRecord_"];

export type Radius = Schemas["Radius"];
export type Action = Schemas["ActionShown"];
export type ActionStory = Schemas["ActionStory"];
export type Actions = Schemas["Page_ActionShown_"];
export type Preview = Schemas["Preview"];

export type MetricSummary = Schemas["MetricSummary"];
export type Metrics = Schemas["Page_MetricSummary_"];
export type MetricValue = Schemas["MetricEnvelope"];
export type MetricHistory = Schemas["MetricHistory"];
