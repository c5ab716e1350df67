import type { DemoSystem } from './system.ts';
import type { SystemName } from './system-names.ts';
import { lightragPg } from './systems/lightrag-pg.ts';
import { msGraphrag } from './systems/ms-graphrag.ts';
import { ngraf023 } from './systems/ngraf-023.ts';

/** The systems that the demo can build. */
export const SYSTEMS: Readonly<Record<SystemName, DemoSystem>> = {
  'ngraf-023': ngraf023,
  'lightrag-pg': lightragPg,
  'ms-graphrag': msGraphrag,
};
