import './base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { startMode } from './mode.ts';

startMode();
const element = document.getElementById('app');
if (!element) throw new Error('The page has no element "app".');
createRoot(element).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
